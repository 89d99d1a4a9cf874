use super::*;
use proptest::prelude::*;

fn challenge(fields: &[&str]) -> Option<Challenge> {
    Challenge::strongest(fields.iter().map(|field| field.as_bytes()))
}

fn digest(field: &str) -> Digest {
    match challenge(&[field]) {
        Some(Challenge::Digest(digest)) => digest,
        other => panic!("{other:?}"),
    }
}

fn answer(digest: &mut Digest, user: &str, password: &str, target: &str, cnonce: &str) -> String {
    String::from_utf8(digest.answer(
        Credentials {
            username: user,
            password,
        },
        "GET",
        target,
        cnonce,
    ))
    .unwrap()
}

#[test]
fn answers_are_those_of_rfc_7616() {
    let rest = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let mut digest = digest(&format!("Digest {rest}, algorithm={algorithm}"));
        let text = answer(
            &mut digest,
            "Mufasa",
            "Circle of Life",
            "/dir/index.html",
            cnonce,
        );
        assert!(text.contains(&format!("response=\"{response}\"")), "{text}");
        assert!(
            text.contains("qop=auth, nc=00000001, cnonce=\"f2/"),
            "{text}"
        );
        assert!(answer(&mut digest, "a", "b", "/", cnonce).contains("nc=00000002"));
    }
}

#[test]
fn without_qop_the_formula_of_rfc_2069_is_used() {
    let mut digest = digest(
        "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"\"",
    );
    let text = answer(
        &mut digest,
        "Mufasa",
        "CircleOfLife",
        "/dir/index.html",
        "x",
    );
    assert!(
        text.contains("response=\"1949323746fe6a43ef61f9606e7febea\""),
        "{text}"
    );
    assert!(
        text.ends_with("opaque=\"\"")
            && !text.contains("nc=")
            && !text.contains("cnonce")
            && !text.contains("algorithm"),
        "{text}"
    );
}

#[test]
fn the_algorithm_is_echoed_as_it_was_written_even_without_qop() {
    let mut digest =
        digest("Digest realm=\"r\", nonce=\"n\", algorithm=\"sha-256\", stale=\"FALSE\"");
    assert_eq!(digest.hash, Hash::Sha256);
    assert!(answer(&mut digest, "u", "p", "/", "c").contains("algorithm=sha-256"));
}

#[test]
fn the_strongest_challenge_is_answered_with_its_own_nonce() {
    let one = "Basic realm=\"a\", Digest realm=\"a\", nonce=\"md5\", algorithm=MD5, Digest realm=\"a\", nonce=\"sha\", algorithm=SHA-256";
    assert_eq!(digest(one).nonce, b"sha");
    let several = [
        "Digest realm=\"a\", nonce=\"md5\", qop=\"auth\"",
        "Basic realm=\"a\"",
    ];
    assert!(
        matches!(challenge(&several), Some(Challenge::Digest(digest)) if digest.nonce == b"md5")
    );
    assert_eq!(
        challenge(&["Digest realm=\"a\", nonce=\"n\", algorithm=WHAT-1", "Basic"]),
        Some(Challenge::Basic)
    );
    assert_eq!(challenge(&["Bearer realm=\"x\""]), None);
}

#[test]
fn of_a_list_of_algorithms_the_strongest_is_answered_and_the_others_are_kept() {
    for list in [
        "\"MD5,SHA-256\"",
        "\"SHA-256, MD5\"",
        "\"what, md5 ,,SHA-256\"",
        "\"MD5,SHA-256,md5,MD5,sha-256\"",
    ] {
        let field = format!("Digest realm=\"a\", nonce=\"n\", algorithm={list}, qop=\"auth\"");
        let text = answer(&mut digest(&field), "u", "p", "/", "c");
        assert!(text.contains(", algorithm=SHA-256, qop="), "{text}");
        let offered = Challenge::offered([field.as_bytes()]);
        let names: Vec<_> = offered.iter().map(Challenge::name).collect();
        assert_eq!(names, ["Digest SHA-256", "Digest MD5"]);
    }
}

#[test]
fn the_uses_of_a_nonce_are_counted_on_by_another_challenge_with_it() {
    let mut first = digest("Digest realm=\"a\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256");
    answer(&mut first, "u", "p", "/", "c");
    for (nonce, count) in [("n", "nc=00000002"), ("m", "nc=00000001")] {
        let field = format!("Digest realm=\"a\", nonce=\"{nonce}\", qop=\"auth\", algorithm=MD5");
        let mut next = Challenge::Digest(digest(&field));
        next.replace(&Challenge::Digest(first.clone()));
        let credentials = Credentials {
            username: "u",
            password: "p",
        };
        let text = String::from_utf8(next.answer(credentials, "GET", "/")).unwrap();
        assert!(text.contains(count), "{text}");
    }
}

#[test]
fn sha_512_256_is_answered_only_where_nothing_better_known_is_offered() {
    let rare = "Digest realm=\"a\", nonce=\"rare\", algorithm=SHA-512-256";
    assert_eq!(digest(rare).nonce, b"rare");
    let both = [rare, "Digest realm=\"a\", nonce=\"md5\""];
    assert!(matches!(challenge(&both), Some(Challenge::Digest(digest)) if digest.nonce == b"md5"));
}

#[test]
fn mangled_challenges_are_read() {
    let found = digest(
        "Digest realm=\"a\\\"b, c\" nonce=\"n=,\" qop=auth,auth-int algorithm=md5,,opaque=o,",
    );
    assert_eq!(
        (
            &found.realm[..],
            &found.nonce[..],
            found.opaque.as_deref(),
            found.qop
        ),
        (&b"a\"b, c"[..], &b"n=,"[..], Some(&b"o"[..]), Some("auth"))
    );
    for field in [
        "Digest: realm=\"a\", nonce=n",
        "Digest:realm=\"a\", nonce=n",
        "Basic: realm=\"b\", Digest : realm=\"a\", nonce=n",
    ] {
        let found = digest(field);
        assert_eq!((&found.realm[..], &found.nonce[..]), (&b"a"[..], &b"n"[..]));
    }
    for field in [
        "DIGEST realm=\"a\",nonce=\"n\",algorithm=\" MD5 \",opaque=,stale=false",
        "Digest,realm=\"a\",\tnonce='n';algorithm=\"\";opaque=\"\"",
        "Digest algorithm=md5 realm=\"a\" domain=\"::\" nonce=n opaque='' qop=none",
        "Digest username=\"\", realm=\"a\", nonce=\"n\", opaque=\"\", qop=\"\"",
    ] {
        let found = digest(field);
        assert_eq!(
            (
                &found.realm[..],
                &found.nonce[..],
                found.opaque.as_deref(),
                found.qop
            ),
            (&b"a"[..], &b"n"[..], Some(&b""[..]), None),
            "{field}"
        );
    }
    let found = digest("digest Realm = \"a\" , NONCE = n");
    assert_eq!(
        (&found.realm[..], &found.nonce[..], found.qop),
        (&b"a"[..], &b"n"[..], None)
    );
    assert_eq!(
        digest("Digest realm=\"a\", nonce=\"n\", qop=\"auth-int\"").qop,
        Some("auth-int")
    );
    assert_eq!(challenge(&["Digest realm=\"no nonce\""]), None);
}

#[test]
fn values_without_double_quotes_are_read_with_their_blanks() {
    for (field, realm, nonce) in [
        (
            "Digest realm=IP Camera, nonce=\"n\", qop=\"auth\"",
            "IP Camera",
            "n",
        ),
        (
            "Digest realm=IP Camera nonce=a== qop=auth",
            "IP Camera",
            "a==",
        ),
        (
            "Digest realm=IP  Camera  nonce = n,qop=auth",
            "IP  Camera",
            "n",
        ),
        (
            "Digest realm='IP, Camera', nonce='n', qop='auth'",
            "IP, Camera",
            "n",
        ),
        (
            "Digest realm=My Basic Camera, nonce=n, qop=auth",
            "My Basic Camera",
            "n",
        ),
        ("Digest realm='til, nonce=n, qop=auth", "'til", "n"),
        ("Basic realm=a Digest realm=b, nonce=n, qop=auth", "b", "n"),
    ] {
        let found = digest(field);
        assert_eq!(
            (&found.realm[..], &found.nonce[..], found.qop),
            (realm.as_bytes(), nonce.as_bytes(), Some("auth")),
            "{field}"
        );
    }
}

#[test]
fn a_challenge_is_new_when_its_nonce_is() {
    let mut first = digest("Digest realm=\"a\", nonce=\"n\", qop=\"auth\"");
    let again = first.clone();
    first.answer(
        Credentials {
            username: "u",
            password: "p",
        },
        "GET",
        "/",
        "c",
    );
    assert_eq!(first, again);
    assert_ne!(
        first,
        digest("Digest realm=\"a\", nonce=\"m\", qop=\"auth\"")
    );
}

proptest! {
    #[test]
    fn any_field_is_read_without_panic(field in "(Digest |Basic |)[a-z=\"', \\\\;:é]{0,60}") {
        if let Some(mut found) = challenge(&[&field]) {
            let text = found.answer(Credentials { username: "u\"", password: "p" }, "DESCRIBE", "/x");
            prop_assert!(!text.contains(&b'\n'));
        }
    }
}
