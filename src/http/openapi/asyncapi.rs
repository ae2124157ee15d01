//! The `AsyncAPI` document: the frames of sockets.

use serde_json::{Map, Value};

use super::document as openapi;
use crate::live;

/// Where both documents have their schemas.
const SCHEMAS: &str = "#/components/schemas/";

/// The document. Events, states and problems in frames are those of the HTTP API, so their schemas are copied from its
/// document.
pub fn document() -> Value {
    let mut document: Value = serde_json::from_str(live::DOCUMENT).unwrap_or_default();
    let shared = openapi();
    document["info"]["version"] = shared["info"]["version"].clone();
    document["components"]["schemas"]["FrameProblem"] = problem_of_frames(&shared);
    let mut wanted = Vec::new();
    references(&document, &mut wanted);
    let Value::Object(schemas) = &mut document["components"]["schemas"] else { return document };
    while let Some(name) = wanted.pop() {
        if schemas.contains_key(&name) {
            continue;
        }
        let schema = shared["components"]["schemas"][&name].clone();
        references(&schema, &mut wanted);
        schemas.insert(name, schema);
    }
    document
}

/// The schema of a problem that is not the answer to a request, so it has no request id.
fn problem_of_frames(openapi: &Value) -> Value {
    let parts = openapi["components"]["schemas"]["Problem"]["allOf"].as_array();
    let variants = parts.into_iter().flatten().find(|part| part.get("oneOf").is_some());
    let mut schema = variants.cloned().unwrap_or_default();
    schema["description"] = "A problem, as in answers of the HTTP API.".into();
    schema
}

/// Adds the names of the schemas that `value` refers to.
fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            names.extend(reference.and_then(|it| it.strip_prefix(SCHEMAS)).map(str::to_owned));
            // The mapping of a discriminator has references as its values.
            let mapping = members.get("discriminator").and_then(|it| it["mapping"].as_object());
            let targets = mapping.into_iter().flat_map(Map::values).filter_map(Value::as_str);
            names.extend(targets.filter_map(|it| it.strip_prefix(SCHEMAS)).map(str::to_owned));
            members.values().for_each(|it| references(it, names));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_references_have_targets() {
        let document = document();
        let mut names = Vec::new();
        references(&document, &mut names);
        assert!(names.iter().any(|it| it == "State"));
        for name in names {
            assert!(document["components"]["schemas"][&name].is_object(), "{name}");
        }
    }
}
