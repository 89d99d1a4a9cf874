//! Where cameras keep their pictures: ports and paths of many brands and firmwares, streams before snapshots, the common before the rare.

/// Paths on the port that was named, or on port 80.
pub(super) const PATHS: [&str; 57] = [
    // mjpg-streamer, OctoPrint, Crowsnest
    "/?action=stream",
    "/webcam/?action=stream",
    // ustreamer, PiKVM, esphome, many home-made servers
    "/stream",
    "/streamer/stream",
    "/video",
    "/video_feed",
    "/mjpeg",
    "/stream.mjpg",
    "/video.mjpg",
    "/video.mjpeg",
    "/mjpg",
    "/mjpeg.cgi",
    "/live.mjpg",
    "/videofeed",
    "/mjpegfeed",
    "/cam.mjpg",
    "/mjpg/video.mjpg",
    "/mjpg/1/video.mjpg",
    // motion, motionEye
    "/0/stream",
    "/1/stream",
    // Axis
    "/axis-cgi/mjpg/video.cgi",
    // Hikvision
    "/ISAPI/Streaming/channels/102/httpPreview",
    "/Streaming/channels/102/httppreview",
    // Dahua, Amcrest
    "/cgi-bin/mjpg/video.cgi?channel=1&subtype=1",
    "/cgi-bin/mjpg/video.cgi",
    // Foscam
    "/videostream.cgi",
    "/cgi-bin/CGIStream.cgi?cmd=GetMJStream",
    // D-Link, Trendnet
    "/video/mjpg.cgi",
    "/video1.mjpg",
    "/dms?nowprofileid=1",
    // Panasonic
    "/nphMotionJpeg?Resolution=640x480&Quality=Standard",
    "/cgi-bin/nphMotionJpeg?Resolution=640x480&Quality=Standard",
    // Sony, Vivotek, Bosch, Mobotix, Canon
    "/image",
    "/video2.mjpg",
    "/cgi-bin/viewer/video.jpg",
    "/control/faststream.jpg?stream=full",
    "/-wvhttp-01-/GetOneShot?frame_count=0",
    // JVC, Toshiba, Linksys, Edimax, Airlink, GoAhead
    "/cgi-bin/video.cgi?type=mjpeg",
    "/img/mjpeg.cgi",
    "/img/video.mjpeg",
    "/cam_1.cgi",
    "/cgi/mjpg/mjpg.cgi",
    "/livestream.cgi",
    // OpenIPC, thingino, Dafang
    "/image.mjpg",
    "/cgi-bin/currentpic.cgi",
    // AXIS-like and ZoneMinder-like proxies, TP-Link Kasa
    "/cgi-bin/nph-zms?mode=jpeg&monitor=1",
    "/https/stream/mixed?video=mjpeg",
    // Snapshots
    "/?action=snapshot",
    "/snapshot",
    "/snapshot.jpg",
    "/snapshot.cgi",
    "/cgi-bin/snapshot.cgi",
    "/image.jpg",
    "/jpg/image.jpg",
    "/axis-cgi/jpg/image.cgi",
    "/ISAPI/Streaming/channels/101/picture",
    "/image.jpeg",
];

/// Paths to try over RTSP, the most common first.
pub(super) const RTSP_PATHS: [&str; 22] = [
    // Hikvision and its OEMs
    "/Streaming/Channels/101",
    "/h264/ch1/main/av_stream",
    // Dahua, Amcrest, Lorex
    "/cam/realmonitor?channel=1&subtype=0",
    // TP-Link Tapo, many others
    "/stream1",
    // Axis
    "/axis-media/media.amp",
    // Reolink
    "/h264Preview_01_main",
    "/Preview_01_main",
    // Foscam
    "/videoMain",
    // Uniview
    "/media/video1",
    // XiongMai and other XM boards
    "/user=admin&password=&channel=1&stream=0.sdp",
    "/live/ch00_0",
    "/live/ch0",
    "/live/main",
    "/live.sdp",
    "/live",
    // Vivotek, D-Link
    "/live1.sdp",
    // Bosch, Panasonic
    "/rtsp_tunnel",
    "/MediaInput/h264",
    // v4l2rtspserver, OpenIPC, ESP32, thingino
    "/unicast",
    "/stream=0",
    "/mjpeg/1",
    "/h264",
];

/// Ports and paths to try when no port was named: servers that have a port of their own for the stream.
pub(super) const OTHER_PORTS: [(u16, &str); 9] = [
    // esp32-camera
    (81, "/stream"),
    // motion
    (8081, "/"),
    // mjpg-streamer, ustreamer, phones
    (8080, "/?action=stream"),
    (8080, "/stream"),
    (8080, "/video"),
    // cam2ip, home-made servers
    (8000, "/stream.mjpg"),
    (56000, "/mjpeg"),
    // DroidCam
    (4747, "/video"),
    (4747, "/mjpegfeed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_a_request_target_and_is_tried_once() {
        let mut all: Vec<(u16, &str)> = PATHS
            .iter()
            .map(|path| (80, *path))
            .chain(OTHER_PORTS)
            .chain(RTSP_PATHS.iter().map(|path| (554, *path)))
            .collect();
        assert!(
            all.iter()
                .all(|(_, path)| path.starts_with('/') && !path.contains([' ', '#']))
        );
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
