//! Every example of `docs/query-language.md` means what the page says.

use skycap_query::{parse, sample};

const PAGE: &str = include_str!("../../../docs/query-language.md");

/// Lines of the fenced blocks of a language.
fn examples(language: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in PAGE.lines() {
        match line.strip_prefix("```") {
            Some(tag) => inside = tag == language,
            None if inside && !line.is_empty() => found.push(line),
            None => {}
        }
    }
    found
}

#[test]
fn examples_parse() {
    let (catalogue, context) = (sample::catalogue(), sample::context());
    let examples = examples("query");
    assert!(examples.len() > 60, "{}", examples.len());
    for text in examples {
        if let Err(error) = parse(text, &catalogue, &context) {
            panic!("{}", error.render(text));
        }
    }
}

/// An expression, then the message.
#[test]
fn errors_read_as_shown() {
    let (catalogue, context) = (sample::catalogue(), sample::context());
    let lines = examples("error");
    assert!(lines.len() > 20 && lines.len().is_multiple_of(3), "{}", lines.len());
    for lines in lines.chunks(3) {
        let error = parse(lines[0], &catalogue, &context).unwrap_err();
        assert_eq!(error.render(lines[0]), lines.join("\n"));
    }
}
