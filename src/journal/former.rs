//! What an entry of the first format says of single values: their places in the document before the run.

use serde::{Deserialize, Serialize};

use crate::change::ValueChange;
use crate::text::toml_patch::{Scalar, Step};

/// One value that was changed: a scalar, or an element of a list of strings. Where the same was done to many runners, that
/// is one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormerValue {
    path: Vec<Step>,
    /// Further places in the first list of the path where the same was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also: Vec<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    element: bool,
    before: Option<Scalar>,
    after: Option<Scalar>,
}

impl FormerValue {
    /// The same, one by one.
    pub(super) fn changes(&self) -> impl Iterator<Item = ValueChange> + '_ {
        let list = self.path.iter().position(|step| matches!(step, Step::Index(_)));
        let places = std::iter::once(None).chain(self.also.iter().map(Some));
        places.map(move |place| {
            let mut path = self.path.clone();
            if let (Some(index), Some(step)) = (place, list.and_then(|at| path.get_mut(at))) {
                *step = Step::Index(*index);
            }
            let [before, after] =
                [&self.before, &self.after].map(|side| side.as_ref().map(Scalar::to_string));
            ValueChange { name: String::new(), path, element: self.element, before, after }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_were_written() {
        let text = r#"{"path":["r",0,"0"],"also":[2],"element":true,"before":null,"after":"0"}"#;
        let value: FormerValue = serde_json::from_str(text).unwrap();
        assert_eq!(value.path, [Step::Key("r".into()), Step::Index(0), Step::Key("0".into())]);
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
        let changes: Vec<ValueChange> = value.changes().collect();
        let path = |index: usize| ["r".into(), index.into(), "0".into()];
        assert_eq!(changes.iter().map(|change| &change.path[..]).collect::<Vec<_>>(), [path(0), path(2)]);
        let after: Vec<_> = changes.iter().map(|change| change.after.as_deref()).collect();
        assert_eq!(after, [Some("\"0\""); 2]);
        assert!(changes.iter().all(|change| change.element && change.before.is_none()));
    }
}
