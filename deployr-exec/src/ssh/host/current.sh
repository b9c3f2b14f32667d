# Prints the number of the release that is present; nothing where there is none.
present
