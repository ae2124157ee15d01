//! `idlewatt openapi`: prints the OpenAPI document.

use std::io::{self, Write};

use crate::app::Error;
use crate::http::openapi_document;

/// Prints the OpenAPI document, indented so that versions can be compared line by line.
///
/// # Errors
/// Returns an error if standard output cannot be written.
pub fn print_document() -> Result<(), Error> {
    writeln!(io::stdout(), "{:#}", openapi_document()).map_err(|error| {
        Error::Other(format!("the OpenAPI document could not be printed: {error}"))
    })
}
