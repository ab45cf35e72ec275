//! A file's text, and for Rust the same text with comments, strings and test modules blanked.
//!
//! Not a parser: it knows just enough of the lexical grammar that a word in a comment is not
//! taken for code. Blanking keeps every line where it was.

use std::iter::Peekable;
use std::str::Chars;

/// One file.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Rust only: comments and the contents of strings blanked.
    pub(crate) code: String,
    /// Rust only: `code` with `#[cfg(test)]` items blanked too.
    pub(crate) product: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: String) -> Self {
        let (code, product) = if is_rust(path) {
            let code = without_comments_and_strings(&text);
            let product = without_tests(&code);
            (code, product)
        } else {
            (String::new(), String::new())
        };
        Self {
            path: path.to_owned(),
            text,
            code,
            product,
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        is_rust(&self.path)
    }

    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| {
            matches!(part, "tests" | "tests.rs" | "benches" | "testing.rs")
                || part.ends_with("_tests.rs")
        })
    }
}

fn is_rust(path: &str) -> bool {
    path.strip_suffix(".rs").is_some()
}

/// The lines of a text, counted from 1.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// The line, counted from 1, on which a byte stands.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `text` with nothing wordlike on either side.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let (before, after) = text.split_at(*at);
            let after = after.get(word.len()..).unwrap_or_default();
            !before.ends_with(is_word) && !after.starts_with(is_word)
        })
}

fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some('/')) => skip_line(&mut chars, &mut out),
            ('/', Some('*')) => skip_block(&mut chars, &mut out),
            ('"', _) => skip_string(&mut chars, &mut out),
            ('r', Some('"' | '#')) if !out.ends_with(is_word) || out.ends_with('b') => {
                skip_raw_string(&mut chars, &mut out);
            }
            ('\'', _) => skip_char_or_lifetime(&mut chars, &mut out),
            _ => out.push(c),
        }
    }
    out
}

fn skip_line(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    while chars.next_if(|c| *c != '\n').is_some() {}
    out.push(' ');
}

fn skip_block(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut depth = 1_u32;
    chars.next();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('*', Some('/')) => {
                chars.next();
                depth -= 1;
                if depth == 0 {
                    return;
                }
            }
            ('/', Some('*')) => {
                chars.next();
                depth += 1;
            }
            ('\n', _) => out.push('\n'),
            _ => {}
        }
    }
}

fn skip_string(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('"');
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next() == Some('\n') => {
                out.push('\n');
            }
            '"' => break,
            '\n' => out.push('\n'),
            _ => {}
        }
    }
    out.push('"');
}

/// After the `r`: hashes, a quote, anything, the quote and as many hashes. `r#name` is an
/// identifier and stays.
fn skip_raw_string(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut hashes = 0;
    while chars.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    if chars.next_if_eq(&'"').is_none() {
        out.push('r');
        out.extend(std::iter::repeat_n('#', hashes));
        return;
    }
    out.push('"');
    while let Some(c) = chars.next() {
        if c == '\n' {
            out.push('\n');
        }
        if c == '"' {
            let mut closing = 0;
            while closing < hashes && chars.next_if_eq(&'#').is_some() {
                closing += 1;
            }
            if closing == hashes {
                break;
            }
        }
    }
    out.push('"');
}

/// After the quote: `'x'` and `'\n'` go, `'static` stays.
fn skip_char_or_lifetime(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut ahead = chars.clone();
    let first = ahead.next();
    if first == Some('\\') {
        chars.next();
        chars.next();
        while chars.next_if(|c| *c != '\'').is_some() {}
        chars.next();
        out.push_str("' '");
    } else if first.is_some() && ahead.next() == Some('\'') {
        chars.next();
        chars.next();
        out.push_str("' '");
    } else {
        out.push('\'');
    }
}

/// Blanks each `#[cfg(test)]` item: to the end of its braces, or to its semicolon.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, item) = rest.split_at(at);
        let (blanked, after) = item.split_at(item_len(item));
        out.push_str(before);
        out.extend(blanked.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn item_len(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let text =
            "let a = \"tokio\"; // tokio\n/* tokio /* x */\n tokio */ let b = 'x';\nuse tokio;";
        let source = Source::new("a.rs", text.to_owned());
        assert_eq!(words(&source.code, "tokio").count(), 1);
        assert_eq!(source.code.lines().count(), text.lines().count());
    }

    #[test]
    fn raw_strings_and_escaped_quotes_end_where_they_end() {
        let text = r##"let a = r#"x" tokio"#; let b = "\" tokio"; let c = br"tokio"; let d = '"'; let r#e = '\''; rumqttc"##;
        let source = Source::new("a.rs", text.to_owned());
        assert_eq!(words(&source.code, "tokio").count(), 0);
        assert_eq!(words(&source.code, "rumqttc").count(), 1);
        assert!(source.code.contains("r#e"));
    }

    #[test]
    fn lifetimes_are_not_characters() {
        let source = Source::new("a.rs", "fn f<'a>(x: &'a str) { g('{') }".to_owned());
        assert_eq!(source.code, "fn f<'a>(x: &'a str) { g(' ') }");
    }

    #[test]
    fn test_modules_are_not_product() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { x() }\n}\nfn c() {}\n#[cfg(test)]\nmod testing;\nfn d() {}";
        let source = Source::new("a.rs", text.to_owned());
        assert!(source.product.contains("fn c") && source.product.contains("fn d"));
        assert!(!source.product.contains("x()") && !source.product.contains("testing"));
        assert_eq!(source.product.lines().count(), text.lines().count());
    }
}
