# make demo    run two cameras from bundled clips
# make check   style, types, import contracts, and every test that needs neither an RTSP server nor a training
# make test    every test        make lint    style, types and import contracts
# make addon     the folder of the add-on for Home Assistant, in dist/
# make deb       a package for this Debian or Ubuntu, in dist/
# make test-tensorrt    the conversion to TensorRT alone (part of make test; 110 MB)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# TensorRT-RTX's builder, which runs without a GPU; it shares the torch of $(VENV).
RTX := .venv-rtx

# What the tests want of Debian: a real RTSP server, an MQTT broker, ffprobe to look at what we wrote, a compiler for torch.compile.
TEST_PACKAGES := gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav ffmpeg g++ mosquitto openssl
# opencv-python is linked to these.
CV2_PACKAGES := libgl1 libglib2.0-0

# Processes that run tests. Many tests wait, so there are more processes than a small machine has cores.
CHECK_WORKERS ?= 3
TEST_WORKERS ?= 4
PYTEST := $(BIN)/pytest -q --dist loadgroup
# Python compiles what it imports. To compile all that is installed takes a minute.
PIP := $(BIN)/pip install -q --no-compile
# Each of the many processes that tests start would otherwise compile the code again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: addon deb demo check check-tests test test-setup test-alone test-others test-again test-tensorrt lint style types clean test-packages
.DELETE_ON_ERROR:

demo: $(VENV)/run
	$(BIN)/nightday-stream --cameras cameras.yaml --duration 30
	@echo "side by side (night, day): out/a1_barnet/side-by-side.png out/piccadilly/side-by-side.png"

# Types and tests run side by side; --output-sync keeps their outputs apart.
check: style
	@$(MAKE) --no-print-directory -j 2 --output-sync=target types check-tests

check-tests: $(VENV)/dev test-packages
	$(PYTEST) -n $(CHECK_WORKERS) -m "not server and not training and not slow and not alone"

# Tests that measure time or memory run before the others, in one process and with nothing beside them.
test: test-alone test-others

test-setup: $(VENV)/dev $(RTX)/ready test-packages

test-alone test-others: test-setup
test-alone:
	$(PYTEST) -m alone
test-others:
	@mkdir -p build; $(PYTEST) -n $(TEST_WORKERS) -m "not alone"; status=$$?; echo $$status > build/tests-ended; exit $$status

# For a machine that others use, too, which may stand still for seconds: where all tests have run (status 1) and few
# have failed, those have to pass by themselves. Both outcomes are in the output.
MOST_AGAIN := 5
test-again:
	test "$$(cat build/tests-ended)" = 1
	$(BIN)/python -m tests.support.failed_again $(MOST_AGAIN)

test-tensorrt: $(VENV)/dev $(RTX)/ready
	$(BIN)/pytest tests/trt

# mypy takes modules' names from folders: these links give the packages the names they have when installed.
TYPES := build/types/nightday
$(TYPES):
	mkdir -p $@
	for package in engines pipeline train weights; do ln -sfn ../../../$$package $@/$$package; done
	ln -sfn ../../../benchmarks/clips $@/clips

lint: style types

style: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev $(TYPES)
	$(BIN)/mypy
	PYTHONPATH=build/types $(BIN)/lint-imports --no-logo --cache-dir build/import_linter

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "$$($(PYTHON) --version): nightday-stream needs Python 3.10 to 3.13; use make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

INSTALLED := setup.cfg setup.py requirements.lock $(wildcard engines/native/*.cpp engines/native/*.h)
define check-cv2
@$(BIN)/python -c 'import cv2' || { \
	echo "OpenCV needs a system library: apt-get install $(CV2_PACKAGES)"; exit 1; }
endef
$(VENV)/run: $(VENV)/bin/pip $(INSTALLED)
	$(PIP) -c requirements.lock -e .
	$(check-cv2)
	@touch $@

# Of what mypy does the first time, half is to read libraries: here, once for each installation. To import them compiles
# them, which each of the processes that run tests would do otherwise.
LIBRARIES := av, jinja2, numpy, paho.mqtt.client, prometheus_client, pydantic, pytest, starlette.applications, torch, torch.export, tyro, uvicorn
$(VENV)/dev: $(VENV)/bin/pip $(INSTALLED)
	$(PIP) -c requirements.lock -e '.[c2pa,detect,mqtt,onnx,provenance,track,train,webrtc,dev]'
	$(check-cv2)
	@touch $(VENV)/run
	@mkdir -p build && echo "import $(LIBRARIES)" > build/libraries.py
	$(BIN)/mypy build/libraries.py
	$(BIN)/python build/libraries.py
	@touch $@

# The libraries of torch_tensorrt go: they are linked to torch's for CUDA, and are needed to run engines, not to build.
# addsitedir reads the .pth files of $(VENV), too, by which this project is found.
$(RTX)/ready: $(VENV)/dev tests/trt/requirements.txt
ifeq ($(shell uname -sm),Linux x86_64)
	$(BIN)/python -m venv --clear $(RTX)
	$(RTX)/bin/pip install -q --no-compile --no-deps -r tests/trt/requirements.txt
	rm -f $(RTX)/lib/python3*/site-packages/torch_tensorrt/lib/*.so
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> $$($(RTX)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth
else
	mkdir -p $(RTX)
endif
	@touch $@

test-packages:
	@/usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null \
		&& ls /usr/lib/*/gstreamer-1.0/libgstlibav.so /usr/lib/*/gstreamer-1.0/libgstx264.so >/dev/null 2>&1 \
		&& command -v ffprobe >/dev/null && command -v g++ >/dev/null && command -v openssl >/dev/null \
		&& test -x /usr/sbin/mosquitto || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			export DEBIAN_FRONTEND=noninteractive; apt-get install -qy $(TEST_PACKAGES) 2>/dev/null \
				|| { apt-get update -q && apt-get install -qy $(TEST_PACKAGES); }; \
		else echo "the tests need: sudo apt-get install $(TEST_PACKAGES)"; exit 1; fi; }

# What the image of the add-on is built from, in a folder to copy to Home Assistant's /addons.
ADDON := dist/nightday_stream
addon:
	rm -rf $(ADDON) && mkdir -p $(ADDON)
	git archive HEAD $$(sed -n 's/^!//p' .dockerignore) CHANGELOG.md | tar -x -C $(ADDON)
	cp -r deploy/home-assistant/. $(ADDON)
	cat deploy/Dockerfile deploy/home-assistant/Dockerfile > $(ADDON)/Dockerfile
	{ cat .dockerignore; echo '!run.py'; } > $(ADDON)/.dockerignore

# The package's version is the program's and the commit's; its maintainer is who builds it, as devscripts has it.
DEB := build/deb/nightday-stream
DEB_VERSION = $(shell sed -n 's/^version = //p' setup.cfg)+$(shell git log -1 --format=%cd.%h --date=format:%Y%m%d)
DEB_BY = $(or $(DEBFULLNAME),$(shell git config user.name)) <$(or $(DEBEMAIL),$(shell git config user.email))>
deb:
	rm -rf build/deb && mkdir -p $(DEB) dist
	git archive HEAD | tar -x -C $(DEB)
	cp -r $(DEB)/deploy/debian $(DEB)/debian
	cp deploy/nightday-stream.service $(DEB)/debian/
	sed -i 's/@MAINTAINER@/$(DEB_BY)/' $(DEB)/debian/control
	{ echo 'nightday-stream ($(DEB_VERSION)) unstable; urgency=medium'; echo; echo '  * See CHANGELOG.md.'; echo; \
		git log -1 --format=' -- $(DEB_BY)  %cD'; } > $(DEB)/debian/changelog
	cd $(DEB) && dpkg-buildpackage -us -uc -b
	mv build/deb/*.deb dist/

clean:
	rm -rf $(VENV) $(RTX) build *.egg-info out
