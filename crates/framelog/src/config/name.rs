//! Camera names: a path component and a URL component, so a narrow alphabet.

/// The most characters of a name.
pub const LENGTH_MAX: usize = 64;

/// Whether the text is `[a-z0-9][a-z0-9_-]{0,63}`.
pub fn is_valid(name: &str) -> bool {
    name.len() <= LENGTH_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

/// The valid name nearest to what a person wrote, if any of it can be kept: `Front Door` gives `front-door`.
pub fn suggest(name: &str) -> Option<String> {
    let mut suggestion = String::new();
    for c in name.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '_') => suggestion.push(c),
            _ if !suggestion.is_empty() && !suggestion.ends_with('-') => suggestion.push('-'),
            _ => {}
        }
    }
    let suggestion = suggestion.trim_start_matches('_');
    let suggestion = suggestion
        .get(..suggestion.len().min(LENGTH_MAX))?
        .trim_end_matches('-');
    is_valid(suggestion).then(|| suggestion.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_could_leave_their_directory_or_url_are_refused() {
        for name in [
            "",
            "..",
            ".",
            "a/b",
            "-a",
            "_a",
            "A",
            "ä",
            "a b",
            "a\n",
            &"a".repeat(65),
        ] {
            assert!(!is_valid(name), "{name:?}");
        }
        for name in ["a", "0", "front-door", "cam_1-b", &"a".repeat(64)] {
            assert!(is_valid(name), "{name:?}");
        }
    }

    #[test]
    fn a_name_of_the_other_kind_gets_a_suggestion() {
        assert_eq!(suggest("Front Door").as_deref(), Some("front-door"));
        assert_eq!(suggest("../../etc").as_deref(), Some("etc"));
        assert_eq!(suggest("Küche (neu)").as_deref(), Some("k-che-neu"));
        assert_eq!(suggest("日本"), None);
    }

    proptest! {
        #[test]
        fn every_suggestion_is_valid(name in "\\PC{0,100}") {
            if let Some(suggestion) = suggest(&name) {
                prop_assert!(is_valid(&suggestion));
            }
        }
    }
}
