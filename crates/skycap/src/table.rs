//! Tables for a terminal. Values come from packets: control characters never reach the terminal.

/// Widest cell; longer ones are cut with an ellipsis.
const MAX_CELL: usize = 60;

/// Text that is safe and one line: control characters and the like are replaced.
pub(crate) fn printable(text: &str) -> String {
    let bidi = |character: char| matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|character| if character.is_control() || bidi(character) { '\u{FFFD}' } else { character })
        .collect()
}

/// Columns padded to their widest cell; the last one is not padded.
pub(crate) fn render(header: &[String], rows: &[Vec<String>]) -> String {
    let clean = |cell: &String| {
        let cell = printable(cell);
        if cell.chars().count() > MAX_CELL { cell.chars().take(MAX_CELL - 1).chain(['…']).collect() } else { cell }
    };
    let lines: Vec<Vec<String>> = std::iter::once(header)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| row.iter().map(clean).collect())
        .collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        for (cell, width) in line.iter().zip(&widths) {
            let padding = width.saturating_sub(cell.chars().count());
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', padding + 2));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hostile_reaches_the_terminal() {
        let text = render(&["a".into(), "b".into()], &[vec!["\x1b[31mred\n".into(), "x".repeat(100)]]);
        assert!(!text.contains('\x1b') && text.lines().count() == 2);
        assert!(text.contains('…'));
    }
}
