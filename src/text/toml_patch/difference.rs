//! Where two documents differ.

use super::document::Toml;
use super::edit::Step;
use super::view::View;

/// The paths where two documents differ.
#[derive(Debug, Default)]
pub struct Difference {
    path: Vec<Step>,
    /// In a single value, or an element of a list of them.
    pub values: Vec<Vec<Step>>,
    /// In something else.
    pub others: Vec<Vec<Step>>,
}

impl Difference {
    /// Compare two documents.
    pub fn between(before: &Toml, after: &Toml) -> Self {
        let mut found = Self::default();
        found.compare(View::Table(before.root()), View::Table(after.root()));
        found
    }

    fn compare(&mut self, before: View<'_>, after: View<'_>) {
        if let (Some(mut keys), Some(new)) = (before.keys(), after.keys()) {
            // The keys that both documents have are in the list already.
            keys.extend(
                new.into_iter().filter(|key| matches!(before.below(&Step::from(*key)), View::Nothing)),
            );
            for key in keys {
                let step = Step::from(key);
                let sides = [before, after].map(|side| side.below(&step));
                self.below(step, sides);
            }
        } else if let (Some(before), Some(after)) = (before.strings(), after.strings()) {
            self.values.extend((before != after).then(|| self.path.clone()));
        } else if let (Some(before), Some(after)) = (before.scalar(), after.scalar()) {
            self.values.extend((before != after).then(|| self.path.clone()));
        } else if let (Some(before), Some(after)) = (before.children(), after.children()) {
            self.others.extend((before.len() != after.len()).then(|| self.path.clone()));
            for (index, sides) in before.into_iter().zip(after).enumerate() {
                self.below(Step::Index(index), sides.into());
            }
        } else if !alike(before, after) {
            self.others.push(self.path.clone());
        }
    }

    fn below(&mut self, step: Step, [before, after]: [View<'_>; 2]) {
        self.path.push(step);
        self.compare(before, after);
        self.path.pop();
    }
}

/// Times and fractions, which only people write here.
fn alike(before: View<'_>, after: View<'_>) -> bool {
    match (before, after) {
        (View::Value(before), View::Value(after)) => before.to_string().trim() == after.to_string().trim(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::toml_patch::dotted;

    fn differ(before: &str, after: &str) -> [Vec<String>; 2] {
        let [before, after] = [before, after].map(|text| Toml::parse(text.as_bytes()).unwrap());
        let found = Difference::between(&before, &after);
        [found.values, found.others].map(|paths| paths.iter().map(|path| dotted(path)).collect())
    }

    #[test]
    fn the_values_that_differ_are_found_with_their_places() {
        let before = "a = 1\nt = 1.5\n[[r]]\ntoken = 'x'\nenv = ['A=1', 'B=1']\n[r.d]\ni = 'u'\n[[r]]\n";
        let after = "a = 2 # c\nt = 1.5\n[[r]]\ntoken = \"x\"\nenv = ['A=2', 'B=1', 'C=1']\n[r.d]\ni = 'u'\np = true\n[[r]]\n[r.d]\nv = ['/x']\n";
        let none = Vec::<String>::new();
        assert_eq!(differ(before, after), [vec!["a", "r[0].env", "r[0].d.p", "r[1].d.v"], Vec::new()]);
        assert_eq!(differ("r = [{a = 1}]", "r = [{a = 2}]"), [vec!["r[0].a"], Vec::new()]);
        assert_eq!(differ(before, before), [none.clone(), none]);
    }

    #[test]
    fn other_differences_are_no_single_values() {
        for (before, after, place) in [
            ("[[r]]", "[[r]]\n[[r]]", "r"),
            ("a = 1.5", "a = 2.5", "a"),
            ("a = {}", "a = 1", "a"),
            ("a = [1]", "a = [2, 3]", "a"),
        ] {
            assert_eq!(differ(before, after)[1][0], place, "{before} -> {after}");
        }
    }
}
