//! As much of HTTP as a test server needs.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::SystemTime;

/// A request whose body has not been read yet.
pub(super) struct Head {
    pub(super) method: String,
    /// With its query.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    /// None where the client has gone.
    pub(super) fn read<S: Read>(stream: &mut BufReader<S>) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    headers.push((name.to_ascii_lowercase(), value.trim().to_owned()))
                }
                None => break,
            }
        }
        Ok(Some(Self {
            method,
            target,
            headers,
        }))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn length(&self) -> usize {
        self.header("content-length").parse().unwrap_or(0)
    }

    pub(super) fn body<S: Read>(&self, stream: &mut BufReader<S>) -> io::Result<Vec<u8>> {
        let mut body = vec![0; self.length()];
        stream.read_exact(&mut body)?;
        Ok(body)
    }
}

pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn write(&self, out: &mut impl Write, seconds_off: i64) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 {} x\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            self.status,
            date(seconds_off),
            self.content_type,
            self.body.len()
        );
        out.write_all(head.as_bytes())?;
        out.write_all(&self.body)?;
        out.flush()
    }
}

/// The time, so many seconds off, as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(seconds_off: i64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    let now = i64::try_from(now.as_secs()).expect("before the end of time") + seconds_off;
    let (days, seconds) = (now.div_euclid(86_400), now.rem_euclid(86_400));
    let mut rest = days;
    let mut year = 1970;
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while rest >= 365 + i64::from(leap(year)) {
        rest -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while rest >= lengths[month] {
        rest -= lengths[month];
        month += 1;
    }
    let names = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][days.rem_euclid(7) as usize];
    let (day, month) = (rest + 1, names[month]);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// The fields of a form with files: name, and content.
pub(super) fn multipart(head: &Head, body: &[u8]) -> Vec<(String, Option<String>, Vec<u8>)> {
    let Some((_, boundary)) = head.header("content-type").split_once("boundary=") else {
        return Vec::new();
    };
    let mark = format!("--{boundary}").into_bytes();
    let mut fields = Vec::new();
    for part in split(body, &mark) {
        let Some(end) = find(part, b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&part[..end]).into_owned();
        let value = |key: &str| {
            let (_, rest) = text.split_once(&format!(" {key}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        let content = part[end + 4..].strip_suffix(b"\r\n").unwrap_or_default();
        if let Some(name) = value("name") {
            fields.push((name, value("filename"), content.to_vec()));
        }
    }
    fields
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = what[0];
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        let at = from + at;
        if text[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

fn split<'a>(mut text: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(text, mark) {
        parts.push(&text[..at]);
        text = &text[at + mark.len()..];
    }
    parts
}
