//! `framelog testcam`: a camera made of software, until Ctrl-C. The camera itself is `crate::testcam`.

use std::net::SocketAddr;

use super::Failure;
use super::stanza::{PasswordPlace, Stanza};
use crate::config::secret::Password;
use crate::config::{name, units};
use crate::testcam::{Extent, Login, Options, Quirk, Size, Stamps, Testcam};

/// Arguments of `framelog testcam`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The camera's name, drawn into its pictures
    #[arg(long, default_value = "testcam", value_parser = read_name)]
    name: String,
    /// Pictures a second
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    fps: u32,
    /// Size of the pictures in pixels, as in 640x360, or in bytes, as in "24 kB"
    #[arg(long, value_name = "WxH|BYTES", default_value = "640x360", value_parser = read_extent)]
    size: Extent,
    /// What the pictures' X-Timestamp is
    #[arg(long, value_enum, default_value_t)]
    timestamps: Stamps,
    /// User name that is asked for
    #[arg(long, requires = "password")]
    username: Option<String>,
    /// Password that is asked for
    #[arg(long, requires = "username")]
    password: Option<String>,
    /// Misbehave like this; can be given more than once
    #[arg(long = "quirk", value_enum)]
    quirks: Vec<Quirk>,
}

/// Serves pictures until interrupted.
///
/// # Errors
/// If the address can't be listened on or the pictures can't be made.
pub async fn run(args: Args) -> Result<(), Failure> {
    let login = args
        .username
        .clone()
        .zip(args.password.clone().map(Password::new));
    let options = Options {
        listen: args.listen,
        name: args.name.clone(),
        fps: args.fps,
        extent: args.size,
        stamps: args.timestamps,
        login: login.map(|(username, password)| Login { username, password }),
        quirks: args.quirks,
    };
    let camera = Testcam::start(options).await.map_err(Failure::failed)?;
    let stanza = Stanza {
        name: args.name,
        url: camera.url(),
        password: args
            .username
            .as_ref()
            .map(|_| PasswordPlace::File("/etc/framelog/testcam.password".into())),
        username: args.username,
        ..Stanza::default()
    };
    announce(&camera, &stanza).map_or_else(|stop| super::output::ended(Err(stop)), Ok)?;
    tokio::signal::ctrl_c().await.map_err(Failure::failed)
}

fn announce(camera: &Testcam, stanza: &Stanza) -> Result<(), super::output::Stop> {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{}\n\nTo record it, add to the configuration:\n\n{}\nCtrl-C ends it.",
        camera.url(),
        stanza.text()
    )?;
    Ok(out.flush()?)
}

fn read_name(text: &str) -> Result<String, String> {
    if name::is_valid(text) {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit".to_owned())
    }
}

/// Reads `640x360` or a number of bytes with or without unit.
fn read_extent(text: &str) -> Result<Extent, String> {
    const FORMS: &str = "write 640x360 (16 to 8192 pixels each), or a number of bytes up to 32 MB";
    if let Some((width, height)) = text.split_once('x') {
        let side = |text: &str| {
            text.trim()
                .parse()
                .ok()
                .filter(|side| (16..=8192).contains(side))
                .ok_or_else(|| FORMS.to_owned())
        };
        return Ok(Extent::Pixels(Size {
            width: side(width)?,
            height: side(height)?,
        }));
    }
    let bytes = text
        .parse()
        .or_else(|_| units::parse_size(text))
        .map_err(|_| FORMS.to_owned())?;
    usize::try_from(bytes)
        .ok()
        .filter(|&bytes| bytes <= 32_000_000)
        .map(Extent::Bytes)
        .ok_or_else(|| FORMS.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pixels_or_bytes() {
        assert_eq!(
            read_extent("640x360"),
            Ok(Extent::Pixels(Size {
                width: 640,
                height: 360
            }))
        );
        assert_eq!(read_extent("24000"), Ok(Extent::Bytes(24_000)));
        assert_eq!(read_extent("24 kB"), Ok(Extent::Bytes(24_000)));
        for text in ["", "x", "640x", "15x15", "640x9999", "40 GB", "-1"] {
            assert!(read_extent(text).is_err(), "{text}");
        }
    }
}
