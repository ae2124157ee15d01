//! Where variables come from. Nothing else reads the environment.

use std::collections::HashMap;

use super::read::{Fault, fault};

/// Where variables come from: the environment, or a test's map.
pub type Source = HashMap<String, String>;

/// The process' environment, and beneath it the `.env` file of the working folder, where there is one.
///
/// # Errors
/// Where that file is not in its form.
pub fn environment() -> Result<Source, Fault> {
    let mut source = Source::new();
    match dotenvy::from_path_iter(".env") {
        Ok(entries) => {
            for entry in entries {
                let (name, value) = entry.map_err(|error| fault(".env", unreadable(&error)))?;
                source.insert(name, value);
            }
        }
        Err(error) if error.not_found() => {}
        Err(error) => return Err(fault(".env", unreadable(&error))),
    }
    for (name, value) in std::env::vars_os() {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
            source.insert(name, value);
        }
    }
    Ok(source)
}

/// What is wrong with the file, without what stands in it: that may be a secret.
fn unreadable(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(..) => {
            "a line is not NAME=value, with quotes around a value that has spaces".to_owned()
        }
        dotenvy::Error::Io(error) => error.to_string(),
        _ => "cannot be read".to_owned(),
    }
}
