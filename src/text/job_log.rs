//! A line of a job's log as plain text, however it was dressed: by GitLab's runner, by a terminal, by a journal.

/// The words of a line without colours and control characters, in small letters, with simple quotes and single
/// spaces: what two lines have in common that say the same.
///
/// ```
/// use runner_prep::text::job_log::plain;
///
/// let line = "section_end:1:a\r\u{1b}[0K\u{1b}[31;1mERROR:\u{1b}[0;m  mkdir ‘x’";
/// assert_eq!(plain(line), "section_end:1:a error: mkdir 'x'");
/// ```
pub fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => match rest.next() {
                // A colour or a movement: parameters, then one letter.
                Some('[') => {
                    while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
                    let _ = rest.next_if(|c| ('@'..='~').contains(c));
                }
                // A title or a link, up to its end.
                Some(']') => while rest.next_if(|c| !['\u{7}', '\u{1b}'].contains(c)).is_some() {},
                _ => {}
            },
            // As a journal quotes it.
            '\\' if rest.peek() == Some(&'"') => {}
            '‘' | '’' => out.push('\''),
            '“' | '”' => out.push('"'),
            _ if c.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            _ if c.is_control() => {}
            _ => out.push(c.to_ascii_lowercase()),
        }
    }
    out
}
