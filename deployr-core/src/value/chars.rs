//! Character classes that more than one value forbids.

/// Characters nobody sees: control and format characters, zero-width ones,
/// direction overrides, blank "letters" and private use.
///
/// Two values that differ only in these look the same to every reader.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}'
            | '\u{034F}'
            | '\u{061C}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{E000}'..='\u{F8FF}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFB}'
            | '\u{FFFE}'..='\u{FFFF}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{10FFFF}')
}

/// Characters that make what follows them be shown in another order.
pub(super) fn reorders(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Characters that start something in a shell.
///
/// Nothing here is ever put into a shell line by the engine; refusing them
/// protects the scripts of others, to which these values are handed.
pub(super) fn is_shell_meta(c: char) -> bool {
    matches!(
        c,
        ';' | '|' | '&' | '$' | '<' | '>' | '(' | ')' | '{' | '}' | '`' | '\'' | '"'
    )
}
