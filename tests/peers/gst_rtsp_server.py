"""GStreamer's RTSP server with a stream of each codec. Arguments: port, and `none`, `basic` or `digest`."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstRtsp", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

PORT, AUTH = sys.argv[1:]
SOURCE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate=15/1 ! "
STREAMS = {
    "/h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "/h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! rtph265pay name=pay0 pt=96 config-interval=-1",
    "/resized": "videoscale ! capsfilter name=size ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "/jpeg": "jpegenc quality=60 ! rtpjpegpay name=pay0 pt=26",
}



def resize(_factory, media):
    """Has the pictures of this stream change their size every 3 s."""
    size = media.get_element().get_by_name("size")
    sizes = [(640, 360), (320, 180)]

    def next_size():
        sizes.reverse()
        width, height = sizes[0]
        size.set_property("caps", Gst.Caps.from_string(f"video/x-raw,width={width},height={height}"))
        return True

    GLib.timeout_add_seconds(3, next_size)


Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service(PORT)
if AUTH != "none":
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if AUTH == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic("viewer", "planted-look-1"), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest("viewer", "planted-look-1", token)
    server.set_auth(auth)
for path, encoder in STREAMS.items():
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(f"( {SOURCE}{encoder} )")
    factory.set_shared(True)
    if path == "/resized":
        factory.connect("media-configure", resize)
    if AUTH != "none":
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory(path, factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
