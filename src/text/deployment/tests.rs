use super::*;

fn description(target: &str) -> Result<Description, String> {
    Description::parse(&format!("account = \"ci\"\n[deploy]\nname = \"app\"\ntarget = {target:?}\n"))
}

#[test]
fn a_description_is_read_as_it_was_written() {
    let mut one = description("/srv/www/app").unwrap();
    assert_eq!(one.deployment.owner, OwnerAndGroup::default());
    assert!(!one.deployment.delete);
    assert_eq!(Description::parse(&one.render()).as_ref(), Ok(&one));
    one.deployment.exclude = vec![Pattern("a \"quoted\" 'one'".to_owned()), Pattern("*.o".to_owned())];
    one.deployment.delete = true;
    one.deployment.timeout = IdleTimeout(7);
    assert_eq!(Description::parse(&one.render()), Ok(one));
}

#[test]
fn places_that_root_obeys_are_no_targets() {
    for target in [
        "/",
        "/srv",
        "/etc/cron.d",
        "/etc/nginx",
        "/usr/bin",
        "/usr",
        "/usr/share",
        "/lib/systemd/system",
        "/root/x",
        "/var/spool/cron",
        "/boot/x",
        "/srv/../etc/x",
        "srv/www",
        "/srv//x",
        "/srv/x/",
        "/srv/./x",
        "/srv/a\nb",
        "/usr/local/bin/x",
        "/var/lib/runner-prep/x",
    ] {
        assert!(description(target).is_err(), "{target}");
    }
    for target in ["/srv/www/app", "/var/www/html", "/usr/share/nginx/html", "/opt/app", "/srv/mit Leer"] {
        assert_eq!(description(target).map(|_| ()), Ok(()), "{target}");
    }
}

#[test]
fn modes_that_give_something_away_are_refused() {
    for modes in ["u=rwX,go=rX", "Du=rwx,Dg=rx,Fu=rw,g+r,o-rwx", "ug=rwX,o="] {
        assert!(Modes::try_from(modes.to_owned()).is_ok(), "{modes}");
    }
    for modes in [
        "u+s",
        "g=rws",
        "+t",
        "o+w",
        "a=rwX",
        "a+w",
        "+w",
        "",
        "4755",
        "0777",
        "u=rwX,,",
        "u",
        "x=r",
        "u=rwX -e sh",
    ] {
        assert!(Modes::try_from(modes.to_owned()).is_err(), "{modes}");
    }
}

#[test]
fn names_owners_and_patterns_are_checked() {
    for name in ["", "-x", "a b", "a/b", "..", "A", "a\n", "é", "--root"] {
        assert!(DeploymentName::try_from(name.to_owned()).is_err(), "{name}");
    }
    for owner in ["", ":", "root:", "#0", "a b", "www:ALL"] {
        assert!(OwnerAndGroup::try_from(owner.to_owned()).is_err(), "{owner}");
    }
    assert_eq!(OwnerAndGroup::try_from("www-data".to_owned()).unwrap().group, "www-data");
    for pattern in ["", "!", "- x", "+ x", "a\nb"] {
        assert!(Pattern::try_from(pattern.to_owned()).is_err(), "{pattern}");
    }
}

#[test]
fn a_timeout_is_neither_too_short_for_a_word_nor_endless() {
    assert_eq!(IdleTimeout::default().duration(), Duration::from_secs(300));
    for (seconds, possible) in [(0, false), (4, false), (5, true), (86_400, true), (86_401, false)] {
        assert_eq!(IdleTimeout::try_from(seconds).is_ok(), possible, "{seconds}");
    }
}

#[test]
fn unknown_keys_are_errors() {
    let text = description("/srv/www/x").unwrap().render();
    assert!(Description::parse(&(text.clone() + "extra = 1\n")).is_err());
    assert!(Description::parse(&("extra = 1\n".to_owned() + &text)).is_err());
}
