-- Lines after $2, until there are $3 of them, or $4 bytes of text.
SELECT seq, at, stream, text
FROM (
    SELECT seq, at, stream, text,
        sum(octet_length(text)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING)
            - octet_length(text) AS before
    FROM (
        SELECT seq, at, stream, text FROM log_lines
        WHERE deployment = $1 AND seq > $2
        ORDER BY seq
        LIMIT $3
    ) AS lines
) AS lines
WHERE before < $4
ORDER BY seq
