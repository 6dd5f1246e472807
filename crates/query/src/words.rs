//! The words of a text.

/// The words of a text, in order, in lower case: runs of letters, marks, digits and `_`.
///
/// The same as Lucene's pattern tokenizer with `[^\p{IsAlphabetic}\p{N}_]+` and a lower-case filter.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|character: char| !(character.is_alphanumeric() || character == '_'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    #[test]
    fn words() {
        let found: Vec<String> = super::words("www.Example.com/a-b_c?q=Ü").collect();
        assert_eq!(found, ["www", "example", "com", "a", "b_c", "q", "ü"]);
    }
}
