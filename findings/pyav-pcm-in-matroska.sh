#!/usr/bin/env bash
# PyAV 18.1.0: `add_stream_from_template` of a stream of G.711 (pcm_alaw, pcm_mulaw) in a Matroska container raises
# "'matroska' format does not support 'pcm_alaw' codec". FFmpeg's command line copies the same stream into Matroska.
# Way out: WAV, MOV or NUT.
#
# Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

python3 -m venv venv
venv/bin/pip install -q av==18.1.0
for codec in pcm_alaw pcm_mulaw; do
  ffmpeg -v error -y -f lavfi -i sine=duration=1:sample_rate=8000 -c:a "$codec" sound.wav
  ffmpeg -v error -y -i sound.wav -c copy sound.mkv
  test "$(ffprobe -v error -show_entries stream=codec_name -of csv=p=0 sound.mkv)" = "$codec"
  venv/bin/python - <<'PYTHON'
import io

import av

for form in ("wav", "nut", "matroska"):
    with av.open("sound.wav") as source, av.open(io.BytesIO(), "w", format=form) as copy:
        try:
            copy.add_stream_from_template(source.streams.audio[0])
            refused = ""
        except ValueError as error:
            refused = str(error)
    print(f"PyAV {av.__version__}, {form}: {refused or 'taken'}")
    if bool(refused) != (form == "matroska"):
        raise SystemExit("no longer so")
PYTHON
done
