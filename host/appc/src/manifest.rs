//! Reading a whole manifest, with errors that name the field.

use serde::de::DeserializeOwned;

/// A manifest that is no JSON, or breaks a rule of the specification.
///
/// `Display` names the document and the field, `app.isolators[2].value.limit` for example; the
/// source says what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error("{document} is invalid{field}")]
pub struct ManifestError {
    document: &'static str,
    field: String,
    #[source]
    cause: serde_json::Error,
}

pub(crate) fn parse<T: DeserializeOwned>(document: &'static str, json: &[u8]) -> Result<T, ManifestError> {
    // Whoever wants to know where a mistake is pays for it: nearly all manifests have none.
    if let Ok(value) = serde_json::from_slice(json) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        // The crate's word for "the document itself".
        let field = if path == "." { String::new() } else { format!(" at {path}") };
        let cause = error.into_inner();
        ManifestError { document, field, cause }
    })?;
    let whole = |cause| ManifestError { document, field: String::new(), cause };
    deserializer.end().map_err(whole)?;
    Ok(value)
}
