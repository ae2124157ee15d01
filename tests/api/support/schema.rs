//! The part of JSON Schema that the OpenAPI document uses.

use serde_json::{Map, Value};

/// Keywords that limit nothing that is checked here.
const REMARKS: [&str; 9] = [
    "description",
    // What is sent is held against it by `make test-schema`.
    "pattern",
    "example",
    "examples",
    "format",
    "title",
    "default",
    "propertyNames",
    "security",
];

/// An OpenAPI document to hold values against.
pub struct Schemas<'a>(pub &'a Value);

impl Schemas<'_> {
    /// What is wrong with `value`, each fault with its place; empty where it is as `schema` says. An object without
    /// `additionalProperties` may have no members but those listed, so that nothing goes undocumented.
    pub fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(schema, value, "", &mut faults);
        faults
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let mut fault = |what: String| faults.push(format!("{at}: {what}: {value}"));
        let Some(keywords) = schema.as_object() else { return };
        for (keyword, limit) in keywords {
            match keyword.as_str() {
                "type" if !is_of(limit, value) => fault(format!("is no {limit}")),
                "enum" if !limit.as_array().expect("a list").contains(value) => {
                    fault(format!("is none of {limit}"));
                }
                "const" if limit != value => fault(format!("is not {limit}")),
                "minimum" if value.is_number() && value.as_f64() < limit.as_f64() => {
                    fault(format!("is below {limit}"));
                }
                "maximum" if value.as_f64() > limit.as_f64() => fault(format!("is above {limit}")),
                "exclusiveMinimum" if value.is_number() && value.as_f64() <= limit.as_f64() => {
                    fault(format!("is not above {limit}"));
                }
                "minLength" if characters(value) < limit.as_u64() => {
                    fault(format!("has not {limit} characters"));
                }
                "maxLength" if characters(value) > limit.as_u64() => {
                    fault(format!("has over {limit} characters"));
                }
                "minItems" if length(value) < limit.as_u64() => fault(format!("has not {limit}")),
                "maxItems" if length(value) > limit.as_u64() => fault(format!("has over {limit}")),
                // Those above, where they hold, and those below, which look further down.
                "type"
                | "enum"
                | "const"
                | "minimum"
                | "maximum"
                | "exclusiveMinimum"
                | "minLength"
                | "maxLength"
                | "minItems"
                | "maxItems"
                | "$ref"
                | "oneOf"
                | "anyOf"
                | "allOf"
                | "items"
                | "properties"
                | "required"
                | "additionalProperties" => {}
                remark if REMARKS.contains(&remark) => {}
                unknown => panic!("{unknown} is not known here"),
            }
        }
        if let Some(reference) = keywords.get("$ref") {
            self.check(self.target(reference), value, at, faults);
        }
        for (keyword, least, most) in [("oneOf", 1, 1), ("anyOf", 1, usize::MAX)] {
            let Some(schemas) = keywords.get(keyword).and_then(Value::as_array) else { continue };
            let fitting = schemas.iter().filter(|schema| self.faults(schema, value).is_empty());
            let count = fitting.count();
            if !(least..=most).contains(&count) {
                faults.push(format!("{at}: {count} of {keyword} fit: {value}"));
            }
        }
        if let (Some(items), Some(values)) = (keywords.get("items"), value.as_array()) {
            for (index, value) in values.iter().enumerate() {
                self.check(items, value, &format!("{at}[{index}]"), faults);
            }
        }
        // What is said with `allOf` is one object, whose members are told in parts.
        if let Some(members) = value.as_object().filter(|_| is_of_object(keywords)) {
            self.check_members(keywords, members, at, faults);
        }
    }

    /// Checks the members of an object, which is of exactly one of the alternatives.
    fn check_members(
        &self,
        keywords: &Map<String, Value>,
        members: &Map<String, Value>,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        let mut found: Vec<Vec<String>> = self
            .alternatives(keywords)
            .iter()
            .map(|parts| self.faults_of_members(parts, members, at))
            .collect();
        found.sort_by_key(Vec::len);
        let fitting = found.iter().filter(|faults| faults.is_empty()).count();
        if fitting > 1 {
            faults.push(format!("{at}: {fitting} alternatives fit: {members:?}"));
        }
        faults.extend(found.swap_remove(0));
    }

    fn faults_of_members(
        &self,
        parts: &[&Map<String, Value>],
        members: &Map<String, Value>,
        at: &str,
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let listed = |name: &str| parts.iter().find_map(|part| part.get("properties")?.get(name));
        let others = parts.iter().find_map(|part| part.get("additionalProperties"));
        for (name, value) in members {
            match (listed(name), others) {
                (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => {
                    self.check(schema, value, &format!("{at}.{name}"), &mut faults);
                }
                (None, Some(Value::Bool(true))) => {}
                (None, _) => faults.push(format!("{at}.{name} is not documented: {value}")),
            }
        }
        for part in parts {
            for name in part.get("required").and_then(Value::as_array).into_iter().flatten() {
                if !members.contains_key(name.as_str().expect("a name")) {
                    faults.push(format!("{at}: {name} is missing"));
                }
            }
        }
        faults
    }

    /// The schemas that together describe an object, in each way that they may: what stands in `allOf` may be one of several.
    fn alternatives<'b>(
        &'b self,
        keywords: &'b Map<String, Value>,
    ) -> Vec<Vec<&'b Map<String, Value>>> {
        let mut alternatives = vec![vec![keywords]];
        for part in keywords.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let part = self.resolve(part).as_object().expect("a schema");
            let options: Vec<_> = match part.get("oneOf").and_then(Value::as_array) {
                Some(options) => options
                    .iter()
                    .flat_map(|it| self.alternatives(self.resolve(it).as_object().expect("one")))
                    .collect(),
                None => self.alternatives(part),
            };
            let joined = alternatives.iter().flat_map(|parts| {
                options.iter().map(move |option| [parts.as_slice(), option].concat())
            });
            alternatives = joined.collect();
        }
        alternatives
    }

    /// What a reference leads to; the value itself where it is none.
    pub fn resolve<'b>(&'b self, value: &'b Value) -> &'b Value {
        value.get("$ref").map_or(value, |reference| self.target(reference))
    }

    fn target(&self, reference: &Value) -> &Value {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        self.0.pointer(pointer.expect("a pointer")).expect("a target")
    }
}

fn is_of_object(keywords: &Map<String, Value>) -> bool {
    ["properties", "additionalProperties", "allOf"].iter().any(|it| keywords.contains_key(*it))
}

fn characters(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn length(value: &Value) -> Option<u64> {
    value.as_array().map(|items| items.len() as u64)
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
        kind => match kind.as_str().expect("a type") {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("no type is named {other}"),
        },
    }
}
