//! Corrections of the document that the macros generate, for the benefit of generated clients.

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Operation;

/// Splits a handler's comment: the first sentence becomes the summary, the rest the description.
pub fn split_text(operation: &mut Operation<'_>) {
    let mut take = |name| operation.value.remove(name);
    let parts = [take("summary"), take("description")];
    let texts: Vec<&str> = parts.iter().flatten().filter_map(Value::as_str).collect();
    let text = texts.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    let (summary, description) = text.split_once(". ").unwrap_or((text.trim_end_matches('.'), ""));
    operation.value.insert("summary".to_owned(), summary.into());
    if !description.is_empty() {
        operation.value.insert("description".to_owned(), description.into());
    }
}

/// Joins the lines of wrapped comments, everywhere in the document.
pub fn join_lines(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => {
                        let paragraphs = text.split("\n\n").map(|it| it.replace('\n', " "));
                        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
                    }
                    member => join_lines(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        _ => {}
    }
}

/// Replaces shared parameters by references, and removes `null` from the types of the others: a parameter may be absent
/// but not null.
pub fn parameters(operation: &mut Operation<'_>, shared: &Value) {
    let Some(Value::Array(parameters)) = operation.value.get_mut("parameters") else { return };
    for parameter in parameters {
        let name = parameter["name"].clone();
        let named = shared.as_object().into_iter().flatten().find(|(_, it)| it["name"] == name);
        if let Some((name, _)) = named {
            *parameter = json!({ "$ref": format!("#/components/parameters/{name}") });
        } else if let Some(Value::Array(types)) = parameter.pointer_mut("/schema/type") {
            types.retain(|it| it != "null");
            if let [only] = types.as_slice() {
                parameter["schema"]["type"] = only.clone();
            }
        }
    }
}

/// Marks bodies as required or optional. An empty body counts as `{}`, so a body that needs no member is optional.
/// The exception is refreshing with the session cookie, which requires a JSON body.
pub fn body(operation: &mut Operation<'_>, schemas: &Map<String, Value>) {
    let is_needed = operation.id() == "refreshTokens";
    let Some(body) = operation.value.get_mut("requestBody") else { return };
    let reference = body.pointer("/content/application~1json/schema/$ref").and_then(Value::as_str);
    let schema = reference.and_then(|it| it.rsplit('/').next()).and_then(|it| schemas.get(it));
    let needs =
        |schema: &Value| schema.get("required").is_some() || schema.get("minProperties").is_some();
    let has_required = schema.is_none_or(needs);
    body["required"] = (is_needed || has_required).into();
}

/// Uses the status text as the description of responses that have none.
pub fn describe_responses(operation: &mut Operation<'_>) {
    for (status, response) in operation.member("responses") {
        let status = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
        let reason = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
        if let Value::Object(response) = response
            && !response.contains_key("$ref")
        {
            response.entry("description").or_insert_with(|| reason.into());
        }
    }
}

/// Forbids additional members in the variants of tagged unions.
pub fn close_unions(schemas: &mut Map<String, Value>) {
    for schema in schemas.values_mut() {
        let options = schema.get_mut("oneOf").and_then(Value::as_array_mut);
        for option in options.into_iter().flatten().filter_map(Value::as_object_mut) {
            if option.contains_key("properties") {
                option.insert("additionalProperties".to_owned(), false.into());
            }
        }
    }
}

/// Renames the instances of the generic page type and makes their entries components: `Page_Session` becomes
/// `SessionPage`.
pub fn name_pages(document: &mut Value) {
    let mut renamed = Vec::new();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        let names: Vec<String> = schemas.keys().cloned().collect();
        for (name, entry) in names.iter().filter_map(|it| Some((it, it.strip_prefix("Page_")?))) {
            let Some(mut page) = schemas.remove(name) else { continue };
            let reference = json!({ "$ref": format!("#/components/schemas/{entry}") });
            let inline = page["properties"]["entries"]["items"].clone();
            page["properties"]["entries"]["items"] = reference;
            schemas.entry(entry).or_insert(inline);
            schemas.insert(format!("{entry}Page"), page);
            renamed.push((name.clone(), format!("{entry}Page")));
        }
    }
    for (from, to) in renamed {
        let reference = |name: &str| format!("#/components/schemas/{name}");
        point_to(document, &reference(&from), &reference(&to));
    }
}

fn point_to(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text == from => to.clone_into(text),
        Value::Object(members) => members.values_mut().for_each(|it| point_to(it, from, to)),
        Value::Array(items) => items.iter_mut().for_each(|it| point_to(it, from, to)),
        _ => {}
    }
}
