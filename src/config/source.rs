//! The source of variables: the environment and the `.env` file.

use std::collections::HashMap;
use std::io::ErrorKind;

use super::dotenv;
use super::read::{Fault, fault};

/// Variables by name, from the environment or from a test.
pub type Source = HashMap<String, String>;

const FILE: &str = ".env";

/// The variables of the `.env` file in the working folder and of the process' environment, which has precedence.
///
/// # Errors
/// Returns an error if the file cannot be read or parsed.
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
    let at_line = |line, message| fault(FILE, format!("line {line}: {message}"));
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
        at_line(line, "it is not in UTF-8")
    })?;
    dotenv::parse(text).map_err(|fault| at_line(fault.line, fault.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_line_of_the_file() {
        let fault = entries(b"A=1\nB=\xff\xfe").expect_err("not UTF-8");
        assert_eq!(fault.to_string(), ".env: line 2: it is not in UTF-8");
        let fault = entries(b"A=1\nhidden").expect_err("not an entry");
        assert_eq!(fault.to_string(), ".env: line 2: it does not have the form NAME=value");
    }
}
