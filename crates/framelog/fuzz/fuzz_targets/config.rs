//! The configuration takes any text: what is wrong has a place in it and one line of words, what is right is right again.
#![no_main]

use std::path::Path;

use framelog::config::{Config, Problem};
use libfuzzer_sys::fuzz_target;

fn is_within(problem: &Problem, text: &str) -> bool {
    let Some((line, column)) = problem.at else {
        return false;
    };
    // Behind the last line end is a place too.
    let found = text.split('\n').nth(line.wrapping_sub(1));
    found.is_some_and(|line| (1..=line.chars().count() + 1).contains(&column))
}

fuzz_target!(|text: &str| {
    let file = Path::new("/nowhere/framelog.toml");
    match Config::read(file, text) {
        Ok((config, warnings)) => {
            assert!(warnings.iter().all(|warning| warning.at.is_none() || is_within(warning, text)));
            assert_eq!(Config::read(file, text), Ok((config, warnings)));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(is_within(&problem, text), "{problem}");
                assert_eq!(problem.to_string().lines().count(), 1);
            }
        }
    }
});
