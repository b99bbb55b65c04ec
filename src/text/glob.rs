//! The patterns of gitlab-runner's allow-lists (`allowed_images`, `allowed_privileged_services`, …), which
//! are those of the Go library doublestar: `*` and `?` stop at a `/`, `**` as a whole component does not.

/// Patterns that need more steps than this are not judged: nobody writes them.
const MOST_STEPS: usize = 100_000;

/// Whether a name matches; `None` when the pattern is malformed and matches nothing at all.
///
/// ```
/// use runner_prep::text::glob::matches;
///
/// assert_eq!(matches("docker:*-dind", "docker:24-dind"), Some(true));
/// assert_eq!(matches("docker:*-dind", "docker.io/library/docker:24-dind"), Some(false));
/// assert_eq!(matches("**/docker:*", "docker.io/library/docker:24"), Some(true));
/// ```
pub fn matches(pattern: &str, name: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let mut steps = MOST_STEPS;
    at(&pattern, &name, true, &mut steps)
}

/// Match from here on; `start` says that a component of the pattern begins here.
fn at(pattern: &[char], name: &[char], start: bool, steps: &mut usize) -> Option<bool> {
    *steps = steps.checked_sub(1)?;
    let Some((&first, rest)) = pattern.split_first() else {
        return Some(name.is_empty());
    };
    match first {
        '*' if start && rest.first() == Some(&'*') && matches!(rest.get(1), None | Some('/')) => {
            any_components(rest.get(2..).unwrap_or_default(), rest.len() == 1, name, steps)
        }
        '*' => {
            let rest = &rest[rest.iter().take_while(|c| **c == '*').count()..];
            let room = name.iter().take_while(|c| **c != '/').count();
            any(0..=room, |used| at(rest, &name[used..], false, steps))
        }
        '{' => alternatives(rest, name, start, steps),
        '/' if rest == ['*', '*'] && name.is_empty() => Some(true),
        '?' => one(name, rest, |c| Some(c != '/'), steps),
        '[' => {
            let (class, rest) = split_class(rest)?;
            one(name, rest, |c| in_class(class, c).map(|inside| inside && c != '/'), steps)
        }
        '\\' => {
            let (&literal, rest) = rest.split_first()?;
            one(name, rest, |c| Some(c == literal), steps)
        }
        _ => match name.split_first() {
            Some((&c, name)) if c == first => at(rest, name, first == '/', steps),
            _ => well_formed(rest, steps),
        },
    }
}

/// `**`: any number of whole components.
fn any_components(rest: &[char], last: bool, name: &[char], steps: &mut usize) -> Option<bool> {
    if last {
        return Some(true);
    }
    let starts = name.iter().enumerate().filter(|(_, c)| **c == '/').map(|(index, _)| index + 1);
    any(std::iter::once(0).chain(starts), |from| at(rest, &name[from..], true, steps))
}

/// `{one,two}`, which may be nested.
fn alternatives(rest: &[char], name: &[char], start: bool, steps: &mut usize) -> Option<bool> {
    let (mut depth, mut from, mut parts, mut index) = (0, 0, Vec::new(), 0);
    loop {
        match rest.get(index)? {
            '\\' => index += 1,
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => break,
            ',' if depth == 0 => {
                parts.push(&rest[from..index]);
                from = index + 1;
            }
            _ => {}
        }
        index += 1;
    }
    parts.push(&rest[from..index]);
    let tail = &rest[index + 1..];
    any(parts, |part| at(&[part, tail].concat(), name, start, steps))
}

/// One character that passes, then the rest.
fn one(
    name: &[char],
    rest: &[char],
    passes: impl Fn(char) -> Option<bool>,
    steps: &mut usize,
) -> Option<bool> {
    match name.split_first() {
        Some((&c, name)) if passes(c)? => at(rest, name, false, steps),
        _ => well_formed(rest, steps),
    }
}

/// The name does not match any more; the rest of the pattern still has to be a pattern.
fn well_formed(rest: &[char], steps: &mut usize) -> Option<bool> {
    let mut index = 0;
    while let Some(c) = rest.get(index) {
        *steps = steps.checked_sub(1)?;
        match c {
            '\\' => {
                rest.get(index + 1)?;
                index += 1;
            }
            '[' => {
                let (class, _) = split_class(&rest[index + 1..])?;
                index += class.len() + 1;
            }
            _ => {}
        }
        index += 1;
    }
    Some(false)
}

/// The inside of `[…]` and what follows it.
fn split_class(rest: &[char]) -> Option<(&[char], &[char])> {
    let negated = usize::from(matches!(rest.first(), Some('!' | '^')));
    let mut index = negated;
    loop {
        match rest.get(index)? {
            ']' if index > negated => return Some((&rest[..index], &rest[index + 1..])),
            '\\' => index += 2,
            _ => index += 1,
        }
    }
}

fn in_class(class: &[char], c: char) -> Option<bool> {
    let (negated, mut items) = match class.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, class),
    };
    let mut inside = false;
    while !items.is_empty() {
        let low = literal(&mut items)?;
        let high = if items.first() == Some(&'-') && items.len() > 1 {
            items = &items[1..];
            literal(&mut items)?
        } else {
            low
        };
        inside |= (low..=high).contains(&c);
    }
    Some(inside != negated)
}

fn literal(items: &mut &[char]) -> Option<char> {
    let (&first, rest) = items.split_first()?;
    *items = rest;
    if first != '\\' {
        return Some(first);
    }
    let (&escaped, rest) = items.split_first()?;
    *items = rest;
    Some(escaped)
}

/// True when one of the ways matches; malformed when one is and none matches.
fn any<T>(ways: impl IntoIterator<Item = T>, mut way: impl FnMut(T) -> Option<bool>) -> Option<bool> {
    let mut malformed = false;
    for next in ways {
        match way(next) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => malformed = true,
        }
    }
    (!malformed).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stop_where_doublestar_stops() {
        for (pattern, name, expected) in [
            ("docker:*-dind", "docker:19.03-dind", Some(true)),
            ("docker:*-dind", "docker:dind", Some(false)),
            ("docker:*-dind", "registry.gitlab.com/x/docker:19.03-dind", Some(false)),
            ("*", "docker:dind", Some(true)),
            ("*", "docker.io/library/docker:dind", Some(false)),
            ("**", "docker.io/library/docker:dind", Some(true)),
            ("**/docker:*", "docker:dind", Some(true)),
            ("docker.io/**", "docker.io/library/docker:dind", Some(true)),
            ("docker.io/**", "docker.io", Some(true)),
            ("docker**", "docker:24", Some(true)),
            ("docker**", "docker/a", Some(false)),
            ("a/**/b", "a/b", Some(true)),
            ("a/**/b", "a/x/y/b", Some(true)),
            ("docker:{dind,*-dind}", "docker:24-dind", Some(true)),
            ("docker:{dind,*-dind}", "docker:dind", Some(true)),
            ("docker:{dind,*-dind}", "docker:24", Some(false)),
            ("docker:2[0-9]-dind", "docker:24-dind", Some(true)),
            ("docker:2[!0-9]-dind", "docker:24-dind", Some(false)),
            ("docker:2?-dind", "docker:24-dind", Some(true)),
            ("a?b", "a/b", Some(false)),
            (r"a\*", "a*", Some(true)),
            (r"a\*", "ab", Some(false)),
            ("", "", Some(true)),
            ("a[", "a", None),
            ("{a", "a", None),
            ("b[", "x", None),
            (r"a\", "a", None),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_stars_ends() {
        assert_eq!(matches(&"*a".repeat(40), &"a".repeat(60)), Some(true));
        assert_eq!(matches(&"*a".repeat(40), &("a".repeat(60) + "b")), None);
    }
}
