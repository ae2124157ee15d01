//! What the OpenAPI document says about every answer that a test gets.

use std::sync::LazyLock;

use serde_json::Value;

use super::schema::Schemas;

static DOCUMENT: LazyLock<Value> = LazyLock::new(idlewatt::http::openapi_document);

/// The operation of a call: its path in the document, and the operation.
pub fn operation<'a>(
    document: &'a Value,
    method: &str,
    path: &str,
) -> Option<(&'a str, &'a Value)> {
    // Methods are in upper case; with another spelling it is another method.
    if method.chars().any(|c| c.is_ascii_lowercase()) {
        return None;
    }
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    let alike = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(part, given)| part.starts_with('{') || part == given)
    };
    let paths = document["paths"].as_object().expect("paths");
    // A path without parameters has precedence over one with parameters that matches too.
    let mut found =
        paths.iter().filter(|(template, item)| alike(template) && item[&method].is_object());
    let (template, item) = found.next()?;
    Some((template, &item[&method]))
}

/// The codes of the problems that a response, with references resolved, may contain.
pub fn codes<'a>(schemas: &'a Schemas<'a>, response: &'a Value) -> Vec<&'a str> {
    let schema = &response["content"]["application/problem+json"]["schema"];
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let options = parts.flat_map(|part| match part["oneOf"].as_array() {
        Some(options) => options.iter().collect(),
        None => vec![part],
    });
    let causes = options.map(|option| schemas.resolve(option));
    let own =
        causes.filter_map(|cause| cause["allOf"][1]["properties"]["code"]["enum"][0].as_str());
    own.collect()
}

/// Whether the document describes an answer with that status and, for a problem, with that code. Calls that are not
/// operations of the document are not checked.
pub fn tells_of(method: &str, path: &str, status: u16, code: &str) -> bool {
    let Some((_, operation)) = operation(&DOCUMENT, method, path) else { return true };
    let schemas = Schemas(&DOCUMENT);
    let Some(response) = operation["responses"].get(status.to_string()) else { return false };
    code.is_empty() || codes(&schemas, schemas.resolve(response)).contains(&code)
}
