//! Validating values against the OpenAPI document, whose schemas are JSON Schema 2020-12.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

/// Compiled schemas by their text. All servers of a run have the same document.
static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// An OpenAPI document.
pub struct Schemas<'a>(pub &'a Value);

impl Schemas<'_> {
    /// What is wrong with `value`, each fault with its place; empty if it is as `schema` says. An object without
    /// `additionalProperties` may have no members except those listed, so that nothing is undocumented.
    pub fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let validator = self.compiled(schema);
        let faults = validator.iter_errors(value);
        faults.map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
    }

    fn compiled(&self, schema: &Value) -> Arc<Validator> {
        let mut compiled = COMPILED.lock().expect("the map");
        let compiled = compiled.entry(schema.to_string()).or_insert_with(|| {
            let schemas = self.0["components"]["schemas"].as_object().expect("schemas");
            let closed: Map<String, Value> =
                schemas.iter().map(|(name, it)| (name.clone(), self.closed_inside(it))).collect();
            let root = json!({
                "components": { "schemas": closed },
                "allOf": [self.closed(schema)],
            });
            let options = jsonschema::options().with_draft(Draft::Draft202012);
            Arc::new(options.build(&root).expect("a valid schema"))
        });
        Arc::clone(compiled)
    }

    /// A schema of a value, which allows no members that it does not list.
    fn closed(&self, schema: &Value) -> Value {
        let mut closed = self.closed_inside(schema);
        if self.lists_members(schema)
            && let Some(keywords) = closed.as_object_mut()
        {
            keywords.insert("unevaluatedProperties".to_owned(), json!(false));
        }
        closed
    }

    /// A schema whose members and items are closed. It may be a part of another one, which lists further members.
    fn closed_inside(&self, schema: &Value) -> Value {
        let Some(keywords) = schema.as_object() else { return schema.clone() };
        let each = |values: &Value, of: &dyn Fn(&Value) -> Value| match values {
            Value::Object(members) => {
                Value::Object(members.iter().map(|(name, it)| (name.clone(), of(it))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(of).collect()),
            other => other.clone(),
        };
        let closed = keywords.iter().map(|(keyword, it)| {
            let it = match keyword.as_str() {
                "properties" => each(it, &|schema| self.closed(schema)),
                "items" | "additionalProperties" => self.closed(it),
                "allOf" | "oneOf" | "anyOf" => each(it, &|schema| self.closed_inside(schema)),
                _ => it.clone(),
            };
            (keyword.clone(), it)
        });
        Value::Object(closed.collect())
    }

    /// Whether a schema lists the members of an object. A schema that only says that it is an object allows any.
    fn lists_members(&self, schema: &Value) -> bool {
        let schema = self.resolve(schema);
        let parts = ["allOf", "oneOf", "anyOf"].iter().filter_map(|it| schema[*it].as_array());
        schema.get("properties").is_some() || parts.flatten().any(|part| self.lists_members(part))
    }

    /// The target of a reference; the value itself if it is not one.
    pub fn resolve<'b>(&'b self, value: &'b Value) -> &'b Value {
        let Some(reference) = value.get("$ref") else { return value };
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        self.0.pointer(pointer.expect("a pointer")).expect("a target")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undocumented_missing_and_wrong_members_are_reported() {
        let document = json!({ "components": { "schemas": {
            "Base": { "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] },
            "Whole": { "allOf": [
                { "$ref": "#/components/schemas/Base" },
                { "type": "object", "properties": {
                    "list": { "type": "array", "items": { "$ref": "#/components/schemas/Base" } },
                    "any": { "type": "object" }
                } }
            ] }
        } } });
        let schemas = Schemas(&document);
        let whole = json!({ "$ref": "#/components/schemas/Whole" });
        let faults = |value: Value| schemas.faults(&whole, &value).len();
        assert_eq!(faults(json!({ "a": 1, "list": [{ "a": 2 }], "any": { "x": 1 } })), 0);
        for faulty in [
            json!({ "a": 1, "other": 2 }),
            json!({ "a": 1, "list": [{ "a": 2, "other": 3 }] }),
            json!({ "list": [] }),
            json!({ "a": "text" }),
        ] {
            assert_ne!(faults(faulty.clone()), 0, "{faulty}");
        }
    }
}
