//! Labels and annotations: lists of names and values in which no name stands twice.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AcIdentifier, InvalidValue};

/// One label: what distinguishes this image from others of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// `version`, `os`, `arch`, or whatever the author chose, but not `name`.
    pub name: AcIdentifier,
    /// Any text.
    pub value: String,
}

/// The labels of an image, in the order of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Label>", into = "Vec<Label>")]
pub struct Labels(Vec<Label>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let label = self.0.iter().find(|label| label.name.as_str() == name)?;
        Some(&label.value)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each of `wanted` is here, with that value.
    pub fn contain(&self, wanted: &Self) -> bool {
        let has = |label: &Label| self.get(label.name.as_str()) == Some(&label.value);
        wanted.iter().all(has)
    }
}

/// `version=1,os=linux`, as users write them.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}={}", label.name, label.value)?;
        }
        Ok(())
    }
}

impl TryFrom<Vec<Label>> for Labels {
    type Error = InvalidValue;

    fn try_from(labels: Vec<Label>) -> Result<Self, Self::Error> {
        let names = || labels.iter().map(|label| label.name.as_str());
        if let Some(twice) = first_repeated(names()) {
            return Err(InvalidValue::new("new label", twice, "it is given twice"));
        }
        if names().any(|name| name == "name") {
            let rule = "an image's name is not among its labels";
            return Err(InvalidValue::new("label", "name", rule));
        }
        Ok(Self(labels))
    }
}

impl From<Labels> for Vec<Label> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

/// One annotation: a remark that nothing needs to understand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// What the remark is about.
    pub name: AcIdentifier,
    /// Any text; a date, or a URL, where the name is one of those that the specification defines.
    pub value: String,
}

/// The annotations of an image, app or pod, in the order of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Annotation>", into = "Vec<Annotation>")]
pub struct Annotations(Vec<Annotation>);

impl Annotations {
    /// The value of an annotation.
    pub fn get(&self, name: &str) -> Option<&str> {
        let annotation = self.0.iter().find(|annotation| annotation.name.as_str() == name)?;
        Some(&annotation.value)
    }

    /// Gives an annotation this value, whether it had one or not.
    ///
    /// # Errors
    /// Where the specification defines the name and the value is not what it asks for.
    pub fn set(&mut self, name: AcIdentifier, value: String) -> Result<(), InvalidValue> {
        check_annotation(name.as_str(), &value)?;
        match self.0.iter_mut().find(|annotation| annotation.name == name) {
            Some(annotation) => annotation.value = value,
            None => self.0.push(Annotation { name, value }),
        }
        Ok(())
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<Annotation>> for Annotations {
    type Error = InvalidValue;

    fn try_from(annotations: Vec<Annotation>) -> Result<Self, Self::Error> {
        let names = annotations.iter().map(|annotation| annotation.name.as_str());
        if let Some(twice) = first_repeated(names) {
            return Err(InvalidValue::new("new annotation", twice, "it is given twice"));
        }
        for annotation in &annotations {
            check_annotation(annotation.name.as_str(), &annotation.value)?;
        }
        Ok(Self(annotations))
    }
}

impl From<Annotations> for Vec<Annotation> {
    fn from(annotations: Annotations) -> Self {
        annotations.0
    }
}

/// The first name that stands twice. Lists of manifests are short: a quadratic search costs less than
/// a set.
pub(crate) fn first_repeated<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let mut rest = names.clone();
    names.into_iter().find(|name| {
        rest.next();
        rest.clone().any(|other| other == *name)
    })
}

/// The annotations that the specification defines a form for.
fn check_annotation(name: &str, value: &str) -> Result<(), InvalidValue> {
    match name {
        "created" if !is_date(value) => {
            let rule = "it is one of RFC 3339 such as 2014-10-27T19:32:27Z";
            Err(InvalidValue::new("date of creation", value, rule))
        }
        "homepage" | "documentation" if !is_web_address(value) => {
            let rule = "it begins with http:// or https://";
            Err(InvalidValue::new("web address", value, rule))
        }
        _ => Ok(()),
    }
}

/// Whether the text has the form of RFC 3339, section 5.6, with each number in its range.
fn is_date(text: &str) -> bool {
    let Some((day, time)) = text.split_once(['T', 't']) else {
        return false;
    };
    let Some(zone) = time.find(['Z', 'z', '+', '-']) else {
        return false;
    };
    let (time, zone) = time.split_at(zone);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let zone_is_sound = match zone.strip_prefix(['+', '-']) {
        Some(offset) => has_form(offset, ':', &[(2, 0..=23), (2, 0..=59)]),
        None => zone.len() == 1,
    };
    has_form(day, '-', &[(4, 0..=9999), (2, 1..=12), (2, 1..=31)])
        && has_form(time, ':', &[(2, 0..=23), (2, 0..=59), (2, 0..=60)])
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && zone_is_sound
}

/// Whether the text is numbers of these lengths and ranges with `separator` between them.
fn has_form(text: &str, separator: char, form: &[(usize, std::ops::RangeInclusive<u32>)]) -> bool {
    let parts: Vec<&str> = text.split(separator).collect();
    let fits = |(part, (length, range)): (&&str, &(usize, std::ops::RangeInclusive<u32>))| {
        part.len() == *length
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse().is_ok_and(|number| range.contains(&number))
    };
    parts.len() == form.len() && parts.iter().zip(form).all(fits)
}

fn is_web_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stands_once_and_is_not_the_name() {
        let parse = serde_json::from_str::<Labels>;
        let labels = parse(r#"[{"name":"os","value":"linux"},{"name":"arch","value":""}]"#).unwrap();
        assert_eq!(labels.get("os"), Some("linux"));
        assert_eq!(labels.get("arch"), Some(""));
        assert_eq!(labels.get("version"), None);
        assert!(parse(r#"[{"name":"os","value":"a"},{"name":"os","value":"b"}]"#).is_err());
        assert!(parse(r#"[{"name":"name","value":"a"}]"#).is_err());
        assert!(parse(r#"[{"name":"OS","value":"a"}]"#).is_err());
    }

    #[test]
    fn labels_contain_what_is_equal_in_them() {
        let labels = |json| serde_json::from_str::<Labels>(json).unwrap();
        let image = labels(r#"[{"name":"os","value":"linux"},{"name":"version","value":"1"}]"#);
        assert!(image.contain(&Labels::default()));
        assert!(image.contain(&labels(r#"[{"name":"version","value":"1"}]"#)));
        assert!(!image.contain(&labels(r#"[{"name":"version","value":"2"}]"#)));
        assert!(!image.contain(&labels(r#"[{"name":"arch","value":"amd64"}]"#)));
    }

    #[test]
    fn well_known_annotations_have_a_form() {
        let good = [
            ("created", "2014-10-27T19:32:27.67021798Z"),
            ("created", "2014-10-27T19:32:27+01:00"),
            ("homepage", "http://example.com"),
            ("documentation", "https://example.com/docs?a#b"),
            ("authors", "Carly Container <carly@example.com>"),
            ("anything", ""),
        ];
        for (name, value) in good {
            assert_eq!(check_annotation(name, value), Ok(()), "{name}={value}");
        }
        let bad = [
            ("created", ""),
            ("created", "2014-10-27"),
            ("created", "2014-10-27T19:32:27"),
            ("created", "2014-13-27T19:32:27Z"),
            ("created", "2014-10-27T25:32:27Z"),
            ("created", "2014-10-27T19:32:27.Z"),
            ("created", "2014-10-27T19:32:27Zulu"),
            ("created", "2014-10-27T19:32:27+1:00"),
            ("created", "+014-10-27T19:32:27Z"),
            ("homepage", "example.com"),
            ("homepage", "ftp://example.com"),
            ("documentation", "http://"),
            ("documentation", "https:///path"),
            ("documentation", "https://a b"),
        ];
        for (name, value) in bad {
            assert!(check_annotation(name, value).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn an_annotation_stands_once_and_can_be_replaced() {
        let json = r#"[{"name":"a","value":"1"},{"name":"a","value":"2"}]"#;
        assert!(serde_json::from_str::<Annotations>(json).is_err());
        let mut annotations = Annotations::default();
        let name: AcIdentifier = "coreos.com/rkt/stage1/mutable".parse().unwrap();
        annotations.set(name.clone(), "false".into()).unwrap();
        annotations.set(name.clone(), "true".into()).unwrap();
        assert_eq!(annotations.get(name.as_str()), Some("true"));
        assert_eq!(annotations.iter().count(), 1);
    }
}
