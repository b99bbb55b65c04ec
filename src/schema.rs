//! JSON Schemas (2020-12) of what goes in and what comes out, made of the types that read and write it.
//!
//! Knows no field of its own but those that belong to no section: a key of a profile or of a document that the
//! schema lacks can't exist.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::cli::DescribedDocument;
use crate::gitlab::section::{self, GitlabSection};
use crate::report::{Diagnosis, Explanation, Profiles, Report, Runs, Text};
use crate::resource;

/// The schema of a document.
pub fn of(document: DescribedDocument) -> Schema {
    match document {
        DescribedDocument::Profile => profile(),
        DescribedDocument::Output => output(),
        DescribedDocument::Report => printed::<Report>(),
        DescribedDocument::Doctor => printed::<Diagnosis>(),
        DescribedDocument::Explanation => printed::<Explanation>(),
        DescribedDocument::UndoList => printed::<Runs>(),
        DescribedDocument::ProfileList => printed::<Profiles>(),
        DescribedDocument::Text => printed::<Text>(),
    }
}

fn printed<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

/// Any of the documents.
fn output() -> Schema {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let any = [
        generator.subschema_for::<Report>(),
        generator.subschema_for::<Diagnosis>(),
        generator.subschema_for::<Explanation>(),
        generator.subschema_for::<Runs>(),
        generator.subschema_for::<Profiles>(),
        generator.subschema_for::<Text>(),
    ];
    whole(json_schema!({ "title": "What runner-prep --json prints", "anyOf": any }), &mut generator)
}

/// A profile: what it is for, what it extends, and a section for each kind of resource.
fn profile() -> Schema {
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let texts = |about: &str| {
        json_schema!({ "type": "array", "items": { "type": "string" }, "description": about }).into()
    };
    let summary =
        json_schema!({ "type": "string", "description": "What the profile is for, in one line." }).into();
    let replaces = "Values of this profile that take the place of those of the profiles that it builds on, as \
                    dotted paths such as git.name.";
    let mut properties = Map::from_iter([
        ("summary".to_owned(), summary),
        ("extends".to_owned(), texts("Profiles that this one builds on, by name or path.")),
        ("replaces".to_owned(), texts(replaces)),
    ]);
    for kind in resource::KINDS {
        let mut section = kind.schema(&mut generator);
        section.insert("description".to_owned(), Value::from(kind.summary));
        properties.insert(kind.name.to_owned(), section.into());
    }
    let mut gitlab = generator.subschema_for::<GitlabSection>();
    gitlab.insert("description".to_owned(), Value::from(section::SUMMARY));
    properties.insert(section::NAME.to_owned(), gitlab.into());
    let schema = json_schema!({
        "title": "A profile of runner-prep",
        "type": "object",
        "properties": properties,
        "additionalProperties": false
    });
    whole(schema, &mut generator)
}

/// With what the parts refer to.
fn whole(mut schema: Schema, generator: &mut SchemaGenerator) -> Schema {
    schema.insert("$schema".to_owned(), Value::from("https://json-schema.org/draft/2020-12/schema"));
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}
