#!/usr/bin/env bash
# Chromium 156 and H.264 that codes red, green and blue (4:4:4, matrix 0, as libx264rgb makes it).
#
# ffmpeg and mpv show such a file in its colours. Chromium takes the three planes for luma and chroma: what is
# (217, 163, 130) is seen as something else by up to 139 of 255. Way out: yuv444p or yuv420p for what browsers are to show.
#
# Wants Debian's ffmpeg and chromium. Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

colour=$(printf '0x%02x%02x%02x' 217 163 130)
ffmpeg -nostdin -v error -f lavfi -i "color=$colour:size=128x128:rate=5:duration=1,format=rgb24" -c:v libx264rgb -qp 1 clip.mp4
kept=$(ffmpeg -nostdin -v error -i clip.mp4 -frames:v 1 -vf crop=1:1 -f rawvideo -pix_fmt rgb24 - | od -An -tu1 | xargs)
cat > page.html <<HTML
<video muted src="data:video/mp4;base64,$(base64 -w0 clip.mp4)"></video><script>
const video = document.querySelector('video');
video.requestVideoFrameCallback(() => {
  const context = new OffscreenCanvas(128, 128).getContext('2d');
  context.drawImage(video, 0, 0);
  document.title = [...context.getImageData(64, 64, 1, 1).data].slice(0, 3).join(' ');
});
video.play();
</script>
HTML
seen=$(chromium --headless=new --no-sandbox --disable-gpu --autoplay-policy=no-user-gesture-required --user-data-dir="$PWD/profile" \
    --timeout=10000 --virtual-time-budget=5000 --dump-dom "file://$PWD/page.html" 2>/dev/null | sed -n 's:.*<title>\(.*\)</title>.*:\1:p')
echo "made: 217 163 130; ffmpeg shows: $kept; Chromium shows: ${seen:-nothing}"
[ "$kept" = "217 163 130" ] && [ -n "$seen" ] && [ "$seen" != "$kept" ] || { echo "Chromium does something else now"; exit 1; }
