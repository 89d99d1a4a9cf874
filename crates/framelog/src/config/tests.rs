use super::*;
use proptest::prelude::*;

const MANUAL: &str = include_str!("../../../../config/framelog.toml");

fn parsed(text: &str) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    let env = |name: &str| match name {
        "GATE_PASSWORD" => Some("from-env".to_owned()),
        "HTTP_TOKEN" => Some("token-from-env+/9==".to_owned()),
        _ => None,
    };
    let surroundings = Surroundings {
        base: PathBuf::from("/etc/framelog"),
        env: &env,
    };
    parse(Path::new("f.toml"), text, &surroundings, |report, top| {
        (
            http(report, top, &surroundings),
            cameras(report, top, &surroundings),
            webhook::read(report, top, &surroundings),
        )
    })
}

fn errors(text: &str) -> Vec<String> {
    match parsed(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(text: &str) -> Vec<String> {
    parsed(text)
        .unwrap()
        .1
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn only_camera(text: &str) -> Camera {
    parsed(text).unwrap().0.cameras.remove(0)
}

/// The manual with its examples (`#key = …`, `#[section]`) made real; its prose begins with `# `.
fn manual_with_examples() -> String {
    MANUAL
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(example) if example.starts_with(|c: char| c == '[' || c.is_alphabetic()) => {
                example
            }
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Without the examples that name files, which are not there.
fn without_files(text: &str) -> String {
    text.replace("password = { file", "#password = { file")
        .replace("token = { file", "#token = { file")
}

#[test]
fn shipped_configuration_is_the_defaults() {
    let (config, _) = parsed(MANUAL).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn shipped_configuration_explains_every_key_and_its_examples_are_right() {
    let text = manual_with_examples();
    let (config, _) = parsed(&without_files(&text)).unwrap();
    assert_eq!(config.cameras.len(), 1);
    for key in STORAGE_KEYS.iter().chain(&HTTP_KEYS).chain(&camera::KEYS) {
        assert!(
            text.lines()
                .any(|line| line.starts_with(&format!("{key} ="))),
            "{key}"
        );
    }
}

#[test]
fn cameras_defaults_in_the_manual_are_the_defaults() {
    let text = manual_with_examples();
    let shown = only_camera(&without_files(&text));
    let default = Camera::new(&shown.name, shown.url.clone());
    assert_eq!(
        (
            shown.timestamps,
            shown.stall_timeout,
            shown.poll_interval,
            shown.max_skew,
            shown.tls,
            shown.enabled
        ),
        (
            default.timestamps,
            default.stall_timeout,
            default.poll_interval,
            default.max_skew,
            default.tls,
            default.enabled
        )
    );
}

#[test]
fn each_error_says_where_what_and_what_to_do() {
    for (text, expected) in [
        (
            "[storag]\n",
            r#"f.toml:1:2: storag: unknown key (did you mean "storage"?)"#,
        ),
        (
            "[storage]\nsegments = '1 min'\n",
            r#"f.toml:2:1: storage.segments: unknown key (did you mean "segment"?)"#,
        ),
        (
            "[storage]\nsegment = '2 days'\n",
            r#"f.toml:2:11: storage.segment: "2 days" is out of range: use 1 s to 1 day"#,
        ),
        (
            "[storage]\nsync = 1\n",
            r#"f.toml:2:8: storage.sync: 1 has no unit: write "1 s""#,
        ),
        (
            "[storage]\nretain = '0 s'\n",
            r#"f.toml:2:10: storage.retain: "0 s" is out of range: use 1 s to 36500 days"#,
        ),
        (
            "[storage]\nmax_size = '2 terabyte'\n",
            r#"f.toml:2:12: storage.max_size: "terabyte" is not a unit: use one of B, kB, MB, GB, TB, PB, KiB, MiB, GiB, TiB, PiB"#,
        ),
        (
            "[storage]\nlayout = 'file'\n",
            r#"f.toml:2:10: storage.layout: "file" is none of "segments", "files" (did you mean "files"?)"#,
        ),
        (
            "[storage]\npath = ''\n",
            "f.toml:2:8: storage.path: is empty: name a directory or file",
        ),
        (
            "[storage]\nuuid = 'mine'\n",
            r#"f.toml:2:8: storage.uuid: "mine" is no UUID; copy the one in recorder.toml, in the storage directory"#,
        ),
        (
            "storage = 3\n",
            "f.toml:1:11: storage: must be a section [storage], not a whole number",
        ),
        (
            "[[cameras]]\nname = 'gate'\n",
            "f.toml:1:1: cameras: must be sections [cameras.NAME], one for each camera, not a list",
        ),
        (
            "[http]\nlisten = '8080'\n",
            r#"f.toml:2:10: http.listen: "8080" is no address with a port: write "127.0.0.1:8080" or "[::1]:8080""#,
        ),
        (
            "[cameras.gate]\nenabled = true\n",
            r#"f.toml:1:1: cameras.gate.url: is missing: write url = "http://…" or url = "rtsp://…""#,
        ),
        (
            "[cameras.gate]\nurl = 'http://c/'\nusrname = 'u'\npassword = 'p'\n",
            r#"f.toml:3:1: cameras.gate.usrname: unknown key (did you mean "username"?)"#,
        ),
        (
            "[webhook]\nulr = 'https://c/'\n",
            r#"f.toml:2:1: webhook.ulr: unknown key (did you mean "url"?)"#,
        ),
        (
            "[cameras.gate]\nulr = 'http://c/'\n",
            r#"f.toml:2:1: cameras.gate.ulr: unknown key (did you mean "url"?)"#,
        ),
        (
            "[cameras.front.door]\nurl = 'http://c/'\n",
            r#"f.toml:1:16: cameras: "front.door" is no camera name (a-z, 0-9, - and _, at most 64, not - or _ first): write [cameras.front-door]"#,
        ),
        (
            "[cameras.gate]\nurl = 'http://c/'\nenabled = no\n",
            r#"f.toml:3:11: a word that means nothing here; write text in quotes, as in "10 s", and true or false (not yes or no) without"#,
        ),
        (
            "[cameras.'Front Door']\nurl = 'http://c/'\n",
            r#"f.toml:1:10: cameras: "Front Door" is no camera name (a-z, 0-9, - and _, at most 64, not - or _ first): write [cameras.front-door]"#,
        ),
        (
            "[cameras]\ngate = 'http://u:secret@c/'\n",
            r#"f.toml:2:8: cameras.gate: must be a section: write [cameras.gate] and url = "…" below it"#,
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\nstall_timeout = '-5 s'\n",
            r#"f.toml:3:17: cameras.g.stall_timeout: "-5 s" does not begin with a number: write a number and a unit, such as "10 s""#,
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\ntimestamps = 'Camera'\n",
            r#"f.toml:3:14: cameras.g.timestamps: "Camera" is none of "auto", "camera", "arrival" (did you mean "camera"?)"#,
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\nenabled = 'yes'\n",
            "f.toml:3:11: cameras.g.enabled: must be true or false, not text",
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\ntransport = 'multicast'\n",
            r#"f.toml:3:13: cameras.g.transport: "multicast" is none of "tcp", "udp""#,
        ),
        (
            "[cameras.g]\nurl = 'http://u:p@c/'\nusername = 'u'\n",
            "f.toml:3:12: cameras.g.username: is in the url too: take it out of the url",
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\npassword = 'p'\n",
            r#"f.toml:3:12: cameras.g.password: has no username: write username = "…""#,
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\nusername = 'u'\npassword = { env = 'NOT_SET' }\n",
            r#"f.toml:4:12: cameras.g.password: the environment variable "NOT_SET" is not set: set it or use { file = "…" }"#,
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\nusername = 'u'\npassword = { file = '/nowhere/x' }\n",
            "f.toml:4:12: cameras.g.password: can't read /nowhere/x: No such file or directory (os error 2)",
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\nusername = 'u'\npassword = { file = '/dev/zero' }\n",
            "f.toml:4:12: cameras.g.password: /dev/zero is no file with a secret: more than 4096 bytes",
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\nusername = 'u'\npassword = { credential = 'x' }\n",
            "f.toml:4:12: cameras.g.password: no $CREDENTIALS_DIRECTORY: add LoadCredential=x:/path/to/file to the systemd unit",
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\nusername = 'u'\npassword = 12345\n",
            r#"f.toml:4:12: cameras.g.password: must be text in quotes, { file = "…" }, { env = "…" } or { credential = "…" }, not a whole number"#,
        ),
        (
            "[cameras.g]\nurl = 'https://c/'\ntls = { fingerprint = 'AB:CD' }\n",
            "f.toml:3:7: cameras.g.tls: the fingerprint has 4 hexadecimal digits, not 64: use the SHA-256 one",
        ),
        (
            "[cameras.g]\nurl = 'https://c/'\ntls = 'ignore'\n",
            r#"f.toml:3:7: cameras.g.tls: "ignore" is none of "verify", "accept" or { fingerprint = "AB:CD:…" }"#,
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\nurl = 'http://d/'\n",
            "f.toml:3:1: url: is there twice: take one out",
        ),
        (
            "[cameras.g]\nurl = 'http://c/'\n[cameras.g]\nenabled = true\n",
            "f.toml:3:10: g: is there twice: take one out",
        ),
        (
            "[cameras.g]\nurl = “http://c/”\n",
            r#"f.toml:2:7: these are quotes of a text processor: write straight ones, as in "10 s""#,
        ),
    ] {
        assert_eq!(errors(text), [expected], "{text}");
    }
}

#[test]
fn all_errors_are_reported_in_the_order_of_their_lines() {
    let text = "[http]\nlisten = 1\n[cameras.a]\nurl = 'gopher://x'\nstall = '1 s'\n\
                enabled = 1\nenabled = 2\n[cameras.b]\n";
    let lines: Vec<_> = errors(text)
        .iter()
        .map(|e| e.split(':').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(lines, ["2", "4", "5", "6", "7", "8"]);
}

#[test]
fn syntax_errors_do_not_show_the_line() {
    for text in [
        "[cameras.g]\nurl = \"http://u:s3cr3t@c/\n",
        "[cameras.g]\npassword = s3cr3t\n",
        "[cameras.g]\npassword = 's3cr3t' x\n",
        "password 's3cr3t'\n",
        "[cameras.g]\npassword = { file = 's3cr3t'\n",
        "[cameras.g]\nusername = 's3cr3t'\nusername = 's3cr3t'\n",
    ] {
        let errors = errors(text);
        assert!(!errors.is_empty(), "{text}");
        assert!(!errors.concat().contains("s3cr3t"), "{errors:?}");
        assert!(
            errors
                .iter()
                .all(|error| error.starts_with("f.toml:") && error.lines().count() == 1),
            "{errors:?}"
        );
    }
}

#[test]
fn credentials_in_the_url_become_username_and_password() {
    let camera = only_camera("[cameras.g]\nurl = 'http://admin:pa%23ss@c/x?y'\n");
    assert_eq!(camera.username.as_deref(), Some("admin"));
    assert_eq!(camera.password.unwrap().expose(), "pa#ss");
    assert_eq!(camera.password_source, Some(PasswordSource::Url));
    assert!(!camera.url.to_string().contains("admin"));
}

#[test]
fn passwords_come_from_where_the_file_says() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p");
    std::fs::write(&file, "p w \r\n").unwrap();
    let shown = file.display();
    for (value, password) in [
        ("'plain'".to_owned(), "plain"),
        ("{ env = 'GATE_PASSWORD' }".to_owned(), "from-env"),
        (format!("{{ file = '{shown}' }}"), "p w "),
    ] {
        let text = format!("[cameras.g]\nurl = 'http://c/'\nusername = 'u'\npassword = {value}\n");
        assert_eq!(only_camera(&text).password.unwrap().expose(), password);
    }
    let camera = only_camera("[cameras.g]\nurl = 'http://c/'\nusername = 'u'\n");
    assert_eq!(camera.password.unwrap().expose(), "");
}

#[test]
fn certificates_are_verified_pinned_or_accepted() {
    let tls =
        |value: &str| only_camera(&format!("[cameras.g]\nurl = 'https://c/'\ntls = {value}\n")).tls;
    assert_eq!(tls("'verify'"), Tls::Verify);
    assert_eq!(tls("'accept'"), Tls::Accept);
    let pairs = ["aB"; 32].join(":");
    assert_eq!(
        tls(&format!("{{ fingerprint = '{pairs}' }}")),
        Tls::Pin([0xab; 32])
    );
}

#[test]
fn paths_begin_at_the_directory_of_the_file() {
    let path = |text: &str| parsed(text).unwrap().0.storage.path;
    assert_eq!(
        path("[storage]\npath = 'footage'\n"),
        Path::new("/etc/framelog/footage")
    );
    assert_eq!(path("[storage]\npath = '/srv/x'\n"), Path::new("/srv/x"));
}

#[test]
fn storage_directory_is_pinned_by_its_uuid() {
    let uuid = "6f1c0d2e-3a4b-4c5d-8e6f-708192a3b4c5";
    let text = format!("[storage]\nuuid = '{uuid}'\n");
    let pinned = parsed(&text).unwrap().0.storage.uuid;
    assert_eq!(pinned.map(|uuid| uuid.to_string()).as_deref(), Some(uuid));
}

#[test]
fn web_server_that_others_reach_needs_a_token() {
    const MUST: &str = "must be 16 or more of A-Z a-z 0-9 - . _ ~ + / and = at the end: make one with openssl rand -hex 32";
    let http = |lines: &str| errors(&format!("[http]\n{lines}\n"));
    for open in ["0.0.0.0:80", "[::]:80", "192.168.0.1:80"] {
        assert_eq!(
            http(&format!("listen = '{open}'")),
            [format!(
                "f.toml:2:10: http.listen: {open} is open to the network, and there is no token: add token = {{ file = \"/etc/framelog/http.token\" }} below [http], or listen on 127.0.0.1"
            )]
        );
        let with_token = format!("listen = '{open}'\ntoken = '0123456789abcdef'");
        assert_eq!(http(&with_token), [""; 0]);
    }
    for alone in ["127.0.0.2:80", "[::1]:80", "localhost:80"] {
        assert_eq!(http(&format!("listen = '{alone}'")), [""; 0]);
    }
    for weak in ["0123456789abcde", "0123456789 abcdef", "0123456789abcdéf"] {
        assert_eq!(
            http(&format!("token = '{weak}'")),
            [format!("f.toml:2:9: http.token: {MUST}")]
        );
    }
    let (config, _) = parsed("[http]\ntoken = { env = 'HTTP_TOKEN' }\n").unwrap();
    let token = config.http.token.unwrap();
    assert_eq!(token.expose(), "token-from-env+/9==");
    assert!(!format!("{token:?}").contains("from-env"));
}

#[test]
fn doubtful_files_are_warned_of() {
    assert_eq!(
        warnings(""),
        [r#"f.toml: cameras: there are none: add [cameras.front-door] with url = "http://…""#]
    );
    assert_eq!(
        warnings("[cameras.a]\nurl = 'http://c/'\n[cameras.b]\nurl = 'http://c/'\n"),
        ["f.toml:3:1: cameras.b: has the same url as a: two connections to one camera"]
    );
    assert_eq!(
        warnings("[cameras.a]\nurl = 'http://c/'\ntls = 'accept'\n"),
        ["f.toml:3:7: cameras.a.tls: has no effect on an http:// url"]
    );
    assert_eq!(
        warnings(
            "[storage]\nretain = '30 s'\nmax_size = '1 GB'\n[cameras.a]\nurl = 'http://c/'\nmax_size = '2 GB'\nretain = '59 s'\n"
        ),
        [
            "f.toml:2:10: storage.retain: 30 s is less than a segment (1 min), and only whole segments go: set segment to less",
            "f.toml:7:10: cameras.a.retain: 59 s is less than a segment (1 min), and only whole segments go: set segment to less",
            "f.toml:6:12: cameras.a.max_size: has no effect: all cameras together have 1 GB",
        ]
    );
    assert_eq!(
        warnings(
            "[storage]\nretain = '30 days'\nmax_size = '2 TB'\n[cameras.a]\nurl = 'http://c/'\nmax_size = '1 GB'\nretain = '90 days'\n"
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        warnings("[cameras.a]\nurl = 'http://c/'\n"),
        Vec::<String>::new()
    );
}

#[test]
fn rules_are_those_of_the_file() {
    let text = "[storage]\nretain = '1 day'\nmin_free = '1 GB'\n[cameras.a]\nurl = 'http://c/'\nmax_size = '2 GB'\n[cameras.b]\nurl = 'http://d/'\n";
    let rules = parsed(text).unwrap().0.rules();
    assert_eq!(rules.retain, Some(DAY));
    assert_eq!((rules.max_size, rules.min_free), (None, 1_000_000_000));
    let own: Vec<_> = rules
        .cameras
        .iter()
        .map(|(name, own)| (name.as_str(), own.retain, own.max_size))
        .collect();
    assert_eq!(own, [("a", None, Some(2_000_000_000))], "b has none");
}

#[test]
fn unreadable_file_is_named() {
    let problems = Config::load(Path::new("/nowhere/framelog.toml")).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "/nowhere/framelog.toml: can't read the configuration: No such file or directory (os error 2); write one, or name yours with --config"
    );
}

#[test]
fn plain_password_that_everyone_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("framelog.toml");
    std::fs::write(&file, "[cameras.a]\nurl = 'http://u:p@c/'\n").unwrap();
    for (mode, warnings) in [(0o644, 1), (0o640, 0)] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(Config::load(&file).unwrap().1.len(), warnings);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "([a-z0-9.'\"={}\\[\\]#,:/ \n-]{0,12}|\\[cameras\\.|url|\\PC){0,20}") {
        for error in errors(&text) {
            prop_assert_eq!(error.lines().count(), 1);
        }
    }
}

#[test]
fn a_webhook_has_a_url_whose_path_is_not_shown() {
    let good = "[webhook]\nurl = \"https://hooks.example/secret-path\"\ntoken = \"secret-token\"\n";
    let webhook = parsed(good).unwrap().0.webhook.unwrap();
    assert_eq!(webhook.shown(), "https://hooks.example");
    assert!(!format!("{webhook:?}").contains("secret"), "{webhook:?}");
    assert_eq!(webhook.token.unwrap().expose(), "secret-token");
    for (section, message) in [
        ("token = \"abc\"", "webhook.url: is missing"),
        ("url = \"rtsp://secret/\"", "must be http://… or https://…"),
        ("url = \"secret\"", "must be http://… or https://…"),
        ("url = \"ftp://secret/\"", "must be http://… or https://…"),
        ("url = \"http://me:secret@a/\"", "has a password in it"),
        (
            "url = \"http://a/\"\ntoken = \"sec ret\"",
            "must be of A-Z a-z 0-9",
        ),
        ("urk = \"http://secret/\"", "unknown key"),
    ] {
        let said = errors(&format!("[webhook]\n{section}\n")).join("\n");
        assert!(said.contains(message), "{section}: {said}");
        assert!(
            !said.contains("secret") && !said.contains("sec ret"),
            "{said}"
        );
    }
}

#[test]
fn footage_is_found_without_any_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("framelog.toml");
    let secret = "{ file = '/nowhere/x' }";
    let text = format!(
        "[storage]\npath = '/srv'\n[http]\ntoken = {secret}\n[cameras.g]\nurl = 'http://c/'\nusername = 'u'\npassword = {secret}\n"
    );
    std::fs::write(&file, text).unwrap();
    assert!(Config::load(&file).is_err());
    let (storage, errors) = Config::load_storage(&file).unwrap();
    assert_eq!((storage.path, errors), (PathBuf::from("/srv"), Vec::new()));
}

#[test]
fn footage_and_recorder_are_found_by_a_file_that_is_wrong_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("framelog.toml");
    let good = "[storage]\npath = '/srv'\n[http]\nlisten = '127.0.0.1:81'\n";
    for wrong in [
        format!("{good}[cameras.g]\nurl = \"http://c/\n"),
        format!("[cameras.g]\nurl = \"http://c/\n{good}"),
        format!("{good}[cameras.g\nurl = 'http://c/'\n"),
        format!("{good}[cameras.g]\n[cameras.g]\n"),
        format!("{good}[ \"cameras\" . 'g' ]\nurl = http://c/\n"),
        format!("{good}[webhook]\nurl = 'http://c/\n"),
        good.replace("path", "color = 'red'\npath"),
        good.replace("path", "retain = '30'\npath"),
        good.replace("listen", "color = 'red'\nlisten"),
        format!("{good}[strange]\n"),
    ] {
        std::fs::write(&file, &wrong).unwrap();
        let (config, errors, _) = Config::load_to_ask(&file).unwrap();
        assert_eq!(config.storage.path, Path::new("/srv"), "{wrong}");
        assert_eq!(config.http.listen.port(), 81, "{wrong}");
        assert!(!errors.is_empty(), "{wrong}");
        assert_eq!(
            Config::load_storage(&file).unwrap().0.path,
            Path::new("/srv")
        );
    }
    for doubtful in [
        "[storage]\npath = '/srv\n[cameras.g]\nurl = 'http://c/'\n",
        "[storage\npath = '/srv'\n",
        "[storge]\npath = '/srv'\n",
        "[storage]\npaht = '/srv'\n",
        "[storage]\ndirectory = '/srv'\n",
        "[recording]\npath = '/srv'\n",
        "[storage]\npath = '/srv'\nuid = 'x'\n",
        "[storage]\npath = '/srv'\nuuid = 'x'\n",
        "[storage]\npath = 7\n",
        "storage = '/srv'\n",
        "[storage]\npath = '/srv'\npath = '/other'\n",
        "[storage]\npath = '/srv'\n[storage]\npath = '/other'\n",
    ] {
        std::fs::write(&file, doubtful).unwrap();
        assert!(Config::load_to_ask(&file).is_err(), "{doubtful}");
        assert!(Config::load_storage(&file).is_err(), "{doubtful}");
    }
}
