//! The source of variables. Nothing else reads the environment.

use std::collections::HashMap;
use std::io::ErrorKind;

use super::dotenv;
use super::read::{Fault, fault};

/// Variables by name, from the environment or from a test.
pub type Source = HashMap<String, String>;

const FILE: &str = ".env";

/// The environment of the process, and the variables of the `.env` file in the working folder that the environment does
/// not have.
///
/// # Errors
/// Returns an error if the file cannot be parsed.
pub fn environment() -> Result<Source, Fault> {
    let mut source = Source::new();
    match std::fs::read(FILE) {
        Ok(bytes) => source.extend(entries(&bytes)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(fault(FILE, error)),
    }
    for (name, value) in std::env::vars_os() {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
            source.insert(name, value);
        }
    }
    Ok(source)
}

/// The variables of a file.
fn entries(bytes: &[u8]) -> Result<Vec<(String, String)>, Fault> {
    let unreadable = |line, message| fault(FILE, format!("line {line}: {message}"));
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
        unreadable(line, "it is not in UTF-8")
    })?;
    dotenv::parse(text).map_err(|fault| unreadable(fault.line, fault.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_text_names_the_line() {
        let fault = entries(b"A=1\nB=\xff\xfe").expect_err("no text");
        assert_eq!(fault.to_string(), ".env: line 2: it is not in UTF-8");
        let fault = entries(b"A=1\nhidden").expect_err("no entry");
        assert_eq!(fault.to_string(), ".env: line 2: it is not NAME=value");
    }
}
