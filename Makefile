# libinfluence, for GNU make: `make help` lists the targets, V=1 shows the commands.
#
# CC, CXX, CFLAGS, CXXFLAGS, CPPFLAGS, LDFLAGS, DESTDIR, PREFIX, LIBDIR, INCLUDEDIR, PKGCONFIGDIR and MANDIR may be set on
# the command line or in the environment. Objects of different flags live in different folders.

ifeq ($(origin CC),default)
CC = gcc
endif
ifeq ($(origin CXX),default)
CXX = g++
endif
CFLAGS ?= -O2 -g
CXXFLAGS ?= $(CFLAGS)
# Empty on the command line: without OpenMP, each call on its caller's thread alone.
OPENMP ?= -fopenmp
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
MANDIR ?= $(PREFIX)/share/man
INSTALL ?= install
PKG_CONFIG ?= pkg-config

# Where everything is built; the sanitizers' build has others.
BUILD ?= build
LIB ?= lib

VERSION := $(shell sed -n 's/^.define INFL_VERSION_STRING "\(.*\)"$$/\1/p' include/influence.h)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))
ifeq ($(VERSION),)
$(error include/influence.h has no INFL_VERSION_STRING)
endif

# ---- flags

# Fedora and others keep these headers in folders of their own.
LIBRARY_INCLUDES := $(addprefix -I,$(wildcard /usr/include/blis /usr/include/lapacke))
LIBS = -lblis -llapacke -llapack -lz -ljansson -lxxhash -lm

# The same for a program that is linked with static libraries, in the order of their needs: LAPACK's BLAS is BLIS, and
# its own language's libraries are named where the compiler has them as static ones.
STATIC_LIBS = -llapacke -llapack -lblis -lz -ljansson -lxxhash \
              $(foreach name,gfortran quadmath,$(if $(filter /%,$(shell $(CC) -print-file-name=lib$(name).a)),-l$(name))) \
              -lm $(OPENMP)

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -pedantic
BASE_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L $(WARNINGS) $(OPENMP) -Iinclude $(CPPFLAGS)
# COVERAGE is of the library's objects alone, see below.
LIBRARY_CFLAGS = $(BASE_CFLAGS) -Isrc $(LIBRARY_INCLUDES) -fPIC -fvisibility=hidden $(ISA_DEFINE) $(CFLAGS) $(COVERAGE)
REAL_CFLAGS ?= -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast
PROGRAM_CFLAGS = $(BASE_CFLAGS) -Iexamples $(CFLAGS)
TEST_CFLAGS = $(BASE_CFLAGS) -Isrc $(ISA_DEFINE) $(CFLAGS)
LINK = $(CC) $(CFLAGS) $(OPENMP) $(LDFLAGS)

# The networks' code is compiled for each of these and chosen at run time. On the command line fewer: ISAS=base is portable.
ISAS := base
ISA_FLAGS_base =
ifneq ($(filter x86_64-% amd64-%,$(shell $(CC) -dumpmachine)),)
ISAS += avx2 avx512
ISA_FLAGS_avx2 = -mavx2 -mfma
ISA_FLAGS_avx512 = -mavx512f -mavx512dq -mavx512vl -mavx512bw -mavx2 -mfma -mprefer-vector-width=512
ISA_DEFINE_avx2 = -DINFL_HAVE_AVX2=1
ISA_DEFINE_avx512 = -DINFL_HAVE_AVX512=1
ISA_DEFINE = $(foreach isa,$(ISAS),$(ISA_DEFINE_$(isa)))
endif

# ---- files

FLAGS := $(CC) $(shell $(CC) -dumpversion) $(LIBRARY_CFLAGS) $(REAL_CFLAGS) $(foreach isa,$(ISAS),$(ISA_FLAGS_$(isa))) \
         $(LDFLAGS) $(LIBS)
FLAGS_NAME := $(firstword $(shell echo '$(subst ','\'',$(FLAGS))' | cksum))
OBJ := $(BUILD)/obj/$(FLAGS_NAME)

SOURCES := $(sort $(wildcard src/*.c))
REAL_SOURCES := $(sort $(wildcard src/real/*.c))
OBJECTS := $(SOURCES:src/%.c=$(OBJ)/src/%.o) \
           $(foreach isa,$(ISAS),$(foreach real,f32 f64,$(REAL_SOURCES:src/real/%.c=$(OBJ)/real/%.$(real).$(isa).o)))

EXAMPLES := $(sort $(wildcard examples/*.c))
EXAMPLE_COMMON := $(sort $(wildcard examples/common/*.c))
# Where there is no C++ compiler, the C++ examples are left out.
CXX_EXAMPLES := $(if $(shell command -v $(firstword $(CXX))),$(sort $(wildcard examples/cpp/*.cpp)))
BENCHES := $(sort $(wildcard bench/*.c))
EXAMPLE_PROGRAMS := $(EXAMPLES:%.c=$(BUILD)/%)
CXX_PROGRAMS := $(CXX_EXAMPLES:%.cpp=$(BUILD)/%)
BENCH_PROGRAMS := $(BENCHES:%.c=$(BUILD)/%)

# Of tests/fuzz all but these two are targets, by their names.
FUZZ_SOURCES := $(sort $(wildcard tests/fuzz/*.c))
FUZZ_TARGETS := $(filter-out fuzz seeds,$(FUZZ_SOURCES:tests/fuzz/%.c=%))
FUZZ_PROGRAMS := $(FUZZ_TARGETS:%=$(BUILD)/%)
FUZZ_SECONDS ?= 60
FUZZ_SEED ?=
FUZZ ?= $(FUZZ_TARGETS)

TEST_SOURCES := $(sort $(wildcard tests/*.c)) $(filter-out tests/fuzz/seeds.c,$(FUZZ_SOURCES))
TEST_OBJECTS := $(TEST_SOURCES:%.c=$(OBJ)/%.o)
TEST_PROGRAM := $(BUILD)/tests/run_tests
ORACLE_PROGRAMS := $(addprefix $(BUILD)/tests/oracle/,ours scores)
SUITES := $(patsubst tests/test_%.c,%,$(filter tests/test_%,$(TEST_SOURCES)))

STATIC := $(LIB)/libinfluence.a
SHARED := $(LIB)/libinfluence.so.$(VERSION)
SONAME := libinfluence.so.$(SOVERSION)
LINKS := $(LIB)/$(SONAME) $(LIB)/libinfluence.so

.PHONY: all
all: $(STATIC) $(SHARED) $(LINKS) $(EXAMPLE_PROGRAMS) $(CXX_PROGRAMS) ## the library and the example programs

ifeq ($(V),)
Q = @
say = @printf '  %-5s %s\n' $(1) $@
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: FORCE
FORCE:

# ---- library

$(OBJ)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LIBRARY_CFLAGS) -MMD -MP -c -o $@ $<

# $(1) f32 or f64, $(2) the macro that says so, $(3) the instruction set
define real_rule
$$(OBJ)/real/%.$(1).$(3).o: src/real/%.c
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC) $$(LIBRARY_CFLAGS) $$(REAL_CFLAGS) $$(ISA_FLAGS_$(3)) -D$(2) -DINFL_ISA=$(3) -MMD -MP -c -o $$@ $$<

endef
$(foreach isa,$(ISAS),$(eval $(call real_rule,f32,INFL_REAL_F32,$(isa))))
$(foreach isa,$(ISAS),$(eval $(call real_rule,f64,INFL_REAL_F64,$(isa))))

# Changes when the flags or the list of sources do, so that what is linked outside the folder of objects follows them.
$(BUILD)/objects: FORCE
	@mkdir -p $(@D)
	@echo '$(OBJECTS)' | cmp -s - $@ || echo '$(OBJECTS)' >$@

# The version stands in the header; the numbers beside it, the symbol map's nodes and the manual page have to agree.
$(OBJ)/version: include/influence.h src/influence.map docs/influence.3 scripts/check-version
	@mkdir -p $(@D)
	@scripts/check-version include/influence.h src/influence.map docs/influence.3
	@touch $@

$(STATIC): $(OBJECTS) $(OBJ)/version $(BUILD)/objects
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $(OBJECTS)

$(SHARED): $(OBJECTS) $(OBJ)/version $(BUILD)/objects src/influence.map
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=src/influence.map -Wl,-z,defs -Wl,-z,text -o $@ \
	    $(OBJECTS) -Wl,--as-needed $(LIBS)

$(LINKS): $(SHARED)
	@ln -sf $(notdir $(SHARED)) $@

# ---- programs

$(OBJ)/examples/%.o: examples/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(PROGRAM_CFLAGS) -MMD -MP -c -o $@ $<

$(OBJ)/bench/%.o: bench/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(PROGRAM_CFLAGS) -Isrc $(LIBRARY_INCLUDES) -MMD -MP -c -o $@ $<

$(EXAMPLE_PROGRAMS) $(BENCH_PROGRAMS): $(BUILD)/%: $(OBJ)/%.o $(EXAMPLE_COMMON:%.c=$(OBJ)/%.o) $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

# With the shared library: CXX need not know of OpenMP, nor of the one that CC linked.
$(CXX_PROGRAMS): $(BUILD)/%: %.cpp examples/cpp/handles.hpp include/influence.h $(LINKS)
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) -std=c++17 -Wall -Wextra -Wshadow -pedantic -Iinclude $(CPPFLAGS) $(CXXFLAGS) -o $@ $< $(LDFLAGS) \
	    -L$(LIB) -linfluence -Wl,-rpath,$(abspath $(LIB))

.PHONY: examples demo bench bench-kernels bench-solvers
examples: $(EXAMPLE_PROGRAMS) $(CXX_PROGRAMS)

demo: all ## train on Iris, attribute, retrain, compare: pictures and tables in build/iris
	$(BUILD)/examples/iris --preset demo --out $(BUILD)/iris

bench: all $(BENCH_PROGRAMS) ## measure against PyTorch, into build/bench.json
	bench/run $(BUILD)/bench/ours $(BUILD)/bench.json

bench-kernels: $(BENCH_PROGRAMS) ## the passes of a convolution alone, in GFLOP/s
	$(BUILD)/bench/kernels

bench-solvers: $(BENCH_PROGRAMS) ## every inverse against the exact one, on MNIST under INFLUENCE_DATA (some minutes)
	$(BUILD)/bench/solvers

# ---- tests

TSAN_TEST = $(if $(filter undefined,$(origin TEST)),threads,$(TEST))

# The names of the files are the list of suites: a new tests/test_<module>.c needs no other change.
$(OBJ)/tests/suites.inc: FORCE
	@mkdir -p $(@D)
	@printf 'SUITE(%s)\n' $(SUITES) | cmp -s - $@ || printf 'SUITE(%s)\n' $(SUITES) >$@

# The structs that begin with their size, and the functions that take each, also by way of another.
$(OBJ)/tests/growth.inc: include/influence.h scripts/declarations
	@mkdir -p $(@D)
	@scripts/declarations $< >$@.declarations
	@awk -F'\t' '\
	    $$1 == "field" && $$3 == "size" { grows[$$2] = 1 } \
	    $$1 == "init" && $$2 in grows { sub(/\(.*/, "(0)", $$3); print "GROWS(" $$2 ", " $$3 ")" } \
	    $$1 == "field" { gsub(/const|[ *]/, "", $$5); if ($$5 in grows) within[$$2] = within[$$2] " " $$5 } \
	    $$1 == "function" { \
	        n = split($$4, types, /[^a-z_0-9]+/); \
	        for (i = 1; i <= n; i++) if (types[i] in grows) { \
	            m = split(types[i] within[types[i]], all, " "); \
	            for (j = 1; j <= m; j++) print "TAKES(" $$2 ", " all[j] ")" } }' $@.declarations >$@

$(OBJ)/tests/fuzz.inc: FORCE
	@mkdir -p $(@D)
	@printf 'FUZZ(%s)\n' $(FUZZ_TARGETS) | cmp -s - $@ || printf 'FUZZ(%s)\n' $(FUZZ_TARGETS) >$@

# The public functions that can fail, which the suite of faults has to know.
$(OBJ)/tests/functions.inc: include/influence.h scripts/declarations
	@mkdir -p $(@D)
	@scripts/declarations $< >$@.declarations
	@awk -F'\t' '$$1 == "function" && $$3 ~ /^infl_(status|node)$$/ { print "FUNCTION(" $$2 ")" }' $@.declarations >$@

# They have a source of the library within them.
$(OBJ)/tests/fuzz/model.o $(OBJ)/tests/fuzz/scores.o: TEST_CFLAGS += $(COVERAGE)
$(OBJ)/tests/faults.o: TEST_CFLAGS += -fno-sanitize=all
TEST_LISTS := $(addprefix $(OBJ)/tests/,suites.inc growth.inc functions.inc fuzz.inc)
$(OBJ)/tests/%.o: tests/%.c | $(TEST_LISTS)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(TEST_CFLAGS) $$($(PKG_CONFIG) --cflags check) -I$(OBJ)/tests -MMD -MP -c -o $@ $<

$(TEST_PROGRAM): $(TEST_OBJECTS) $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -pthread -o $@ $^ $$($(PKG_CONFIG) --libs check) $(LIBS)

# The problems of tests are so small that OpenMP's threads would mostly spin, and thousands of files are synchronised.
TEST_WITH = OMP_WAIT_POLICY=$${OMP_WAIT_POLICY:-passive} TMPDIR=$${TMPDIR:-$$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)}

.PHONY: check run-tests run-suites oracle real-data headercheck docscheck symbolcheck format formatcheck check-sanitize \
        check-serial check-threads check-valgrind check-interrupt check-unwritable
check: all headercheck symbolcheck docscheck run-tests ## all tests; TEST=inverse or TEST=inverse/cg/residual: a part

run-tests: $(TEST_PROGRAM)
	$(TEST_WITH) $(TEST_PROGRAM) $(TEST)

run-suites: $(TEST_PROGRAM) ## all tests, a process for each suite, as many at once as there are cores
	$(Q)printf '%s\n' $(SUITES) | $(TEST_WITH) xargs -P $$(nproc) -n 1 $(TEST_PROGRAM)

$(ORACLE_PROGRAMS): $(BUILD)/tests/oracle/%: $(OBJ)/tests/oracle/%.o $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

oracle: $(ORACLE_PROGRAMS) ## the zoo against PyTorch, files and scores against NumPy, where those are installed
	@if command -v python3 >/dev/null; then \
	tests/oracle/scores.py $(BUILD)/tests/oracle/scores && tests/oracle/compare.py $(BUILD)/tests/oracle/ours; \
	else echo 'oracle: skipped; there is no python3 here'; fi

headercheck: ## the header as C11 and C++17 under every compiler there is
	scripts/check-header include/influence.h "$(CC)" "$(CXX)"

DOCUMENTS := README.md $(sort $(wildcard docs/*.md docs/results/*.md))

docscheck: examples ## listings of the documents are programs that run and say what stands there; so are short examples
	@for document in $(DOCUMENTS); do \
	    listing=; [ $$document != README.md ] || listing=examples/mislabelled.c; \
	    LIBRARIES='$(STATIC) $(LDFLAGS) $(LIBS)' \
	        scripts/check-document $$document $$listing -- $(CC) $(PROGRAM_CFLAGS) -Werror || exit 1; \
	done
	@for program in $(filter %/own_model %/own_loss,$(EXAMPLE_PROGRAMS) $(CXX_PROGRAMS)); do \
	    $$program >/dev/null || exit 1; \
	done
	@for destroy in $$(grep -o 'infl_[a-z_]*_destroy(infl' include/influence.h); do \
	    grep -qF "$${destroy%infl}handle)" examples/cpp/handles.hpp || \
	        { echo "examples/cpp/handles.hpp: nothing calls $${destroy%(infl}"; exit 1; }; \
	done
	@echo 'documents: $(words $(DOCUMENTS)), with links, listings and what they say: fine'

symbolcheck: $(SHARED) $(STATIC) ## what the libraries export and use
	scripts/check-symbols include/influence.h $(SHARED) $(STATIC)

.PHONY: abi abicheck mancheck
check: abicheck
abicheck: $(SHARED) ## whether the binary interface is the one in tests/abi.txt, and what a difference breaks
	@scripts/abi include/influence.h $(SHARED) $(CC) >$(BUILD)/abi.txt
	scripts/check-abi include/influence.h tests/abi.txt $(BUILD)/abi.txt CHANGELOG.md
	tests/abi-cases scripts/check-abi tests/abi.txt

abi: ## accept the binary interface as it is: new functions into src/influence.map, everything into tests/abi.txt
	@scripts/update-map include/influence.h src/influence.map
	@$(MAKE) --no-print-directory $(SHARED)
	@scripts/abi include/influence.h $(SHARED) $(CC) >$(BUILD)/abi.txt
	@scripts/check-abi --accept include/influence.h tests/abi.txt $(BUILD)/abi.txt CHANGELOG.md
	@[ ! -s $(BUILD)/abi.txt ] || { echo '# The binary interface on machines of 64 bits: `make abi` writes this, docs/abi.md explains.' && \
	    cat $(BUILD)/abi.txt; } >tests/abi.txt

mancheck: ## the manual page, by mandoc or groff
	@if command -v mandoc >/dev/null; then mandoc -Tlint docs/influence.3; \
	elif command -v groff >/dev/null; then test -z "$$(groff -mandoc -ww -Tutf8 -z docs/influence.3 2>&1 | tee /dev/stderr)"; \
	else echo 'mancheck: skipped; there is neither mandoc nor groff here'; fi

real-data: examples ## train LeNet-5 on MNIST and ResNet18 on CIFAR-10 under INFLUENCE_DATA (some minutes)
	scripts/check-real-data $(BUILD)/examples/train $(BUILD)/real-data

check-unwritable: examples ## example programs on a full disk, without stdout, in places that are no folders
	scripts/check-unwritable $(BUILD)/examples $(BUILD)/unwritable

check-interrupt: examples ## studies that signals end and --resume goes on with: the same files as undisturbed
	scripts/check-interrupt $(BUILD)/examples/iris $(BUILD)/interrupt/iris --preset quick --seeds 4 --steps 6000 --retrain-steps 1000
	@if [ -e "$$INFLUENCE_DATA/mnist/train-images-idx3-ubyte.gz" ]; then \
	    scripts/check-interrupt $(BUILD)/examples/mnist $(BUILD)/interrupt/mnist --preset quick && \
	    scripts/check-interrupt $(BUILD)/examples/cifar $(BUILD)/interrupt/cifar --preset quick --dataset mnist \
	        --arch lenet5 --decays 0.001; \
	else echo 'interrupt: mnist and cifar skipped; INFLUENCE_DATA names no folder with mnist/'; fi

# The header's tables and the README's listing are laid out by hand.
FORMATTED := $(filter-out include/influence.h examples/mislabelled.c,\
               $(wildcard src/*.[ch] src/real/*.[ch] examples/*.[ch] examples/common/*.[ch] examples/cpp/*.[ch]pp tests/*.[ch] \
               tests/fuzz/*.[ch] tests/oracle/*.[ch] \
               bench/*.[ch]))

format: ## every source as .clang-format has it
	clang-format -i $(FORMATTED)

formatcheck: ## whether it is
	$(Q)clang-format --dry-run --Werror $(FORMATTED)

# Not those that take long because their networks are large; CK_EXCLUDE_TAGS= asks for them as well.
check-sanitize: ## the tests under the address and undefined behaviour sanitizers
	@ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 CK_FORK=no CK_EXCLUDE_TAGS=$${CK_EXCLUDE_TAGS-long} \
	    $(MAKE) --no-print-directory $(if $(TEST),run-tests,run-suites) \
	    BUILD=$(BUILD)/sanitize LIB=$(BUILD)/sanitize/lib ISAS=base REAL_CFLAGS='-fno-math-errno -ffp-contract=fast' \
	    CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all'

# The thread sanitizer does not see OpenMP's own synchronisation. Without OpenMP the caller's threads are all there are, and
# they are in one suite; TEST= asks for all.
check-threads: ## the tests with several threads of the caller's, under the thread sanitizer
	@TSAN_OPTIONS=halt_on_error=1 CK_FORK=no $(MAKE) --no-print-directory run-tests OPENMP= TEST='$(TSAN_TEST)' \
	    BUILD=$(BUILD)/threads LIB=$(BUILD)/threads/lib ISAS=base REAL_CFLAGS='-O2 -fno-math-errno -ffp-contract=fast' \
	    CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=thread'

check-serial: examples ## a build without OpenMP: all tests, and the bits that the other gives on Iris
	@$(MAKE) --no-print-directory examples $(if $(TEST),run-tests,run-suites) OPENMP= BUILD=$(BUILD)/serial LIB=$(BUILD)/serial/lib
	scripts/check-bits $(BUILD)/serial/iris $(BUILD)/examples/iris $(BUILD)/serial/examples/iris

check-valgrind: $(TEST_PROGRAM) ## the tests under valgrind, with a check for leaks
	CK_FORK=no OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive valgrind --quiet --error-exitcode=99 --leak-check=full \
	    --soname-synonyms=somalloc=nouserintercepts \
	    --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect $(TEST_PROGRAM) $(TEST)

# ---- fuzzing: `fuzz` builds the targets with libFuzzer, in a folder of its own; the suite `fuzz` runs them without

FUZZ_CC ?= clang
FUZZ_FLAGS = CC='$(FUZZ_CC)' BUILD=build/fuzz LIB=build/fuzz/lib ISAS=base CPPFLAGS='$(CPPFLAGS) -DFUZZ_LIBFUZZER' \
             REAL_CFLAGS='-fno-math-errno -ffp-contract=fast' \
             CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'

.PHONY: fuzz fuzz-programs fuzz-replay fuzz-seeds
fuzz: ## the readers with libFuzzer; FUZZ_SECONDS=60 each, FUZZ='csv idx': these alone, FUZZ_SEED=1: the same inputs again
	@mkdir -p build/fuzz
	@if echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d == 0 && n > 0; }' | \
	    $(FUZZ_CC) -fsanitize=fuzzer,address,undefined -x c - -o build/fuzz/probe 2>build/fuzz/probe.log; then \
	    $(MAKE) --no-print-directory fuzz-programs $(FUZZ_FLAGS) && scripts/fuzz build/fuzz $(FUZZ_SECONDS) '$(FUZZ_SEED)' $(FUZZ); \
	else echo 'fuzz: skipped; $(FUZZ_CC) has no libFuzzer here (scripts/setup --ci installs it)'; fi

$(FUZZ_PROGRAMS): $(BUILD)/%: $(OBJ)/tests/fuzz/%.o $(OBJ)/tests/fuzz/fuzz.o $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBS)

fuzz-programs: $(FUZZ_PROGRAMS)

fuzz-replay: ## the inputs that are kept, without a fuzzer; part of check
	@$(MAKE) --no-print-directory run-tests TEST=fuzz

$(BUILD)/tests/seeds: $(OBJ)/tests/fuzz/seeds.o $(OBJ)/tests/fuzz/fuzz.o $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

fuzz-seeds: $(BUILD)/tests/seeds ## make those inputs anew that are the library's own files
	$(BUILD)/tests/seeds tests/fuzz/corpus

# ---- static analysis

# Each file with the flags that it is compiled with, those of src/real once for each precision. A stamp beside its
# dependencies says that a file was found clean.
ANALYSIS := $(BUILD)/analysis
ANALYSED := $(SOURCES:%.c=$(ANALYSIS)/%) \
            $(foreach real,f32 f64,$(REAL_SOURCES:%.c=$(ANALYSIS)/%.$(real))) \
            $(patsubst %.c,$(ANALYSIS)/%,$(EXAMPLES) $(EXAMPLE_COMMON) $(BENCHES) $(TEST_SOURCES) \
                                  tests/fuzz/seeds.c $(sort $(wildcard tests/oracle/*.c)))
ANALYSIS_FLAGS = -D_POSIX_C_SOURCE=200809L -Iinclude -Isrc -Iexamples -I$(OBJ)/tests $(LIBRARY_INCLUDES) \
                 $(ISA_DEFINE) $(CPPFLAGS)
CPPCHECK = cppcheck --quiet --std=c11 --enable=warning,style,performance,portability --inline-suppr \
           --suppressions-list=.cppcheck --error-exitcode=1

# $(1) what follows a file's name, $(2) the flags that go with it
define analysis_rules
$$(ANALYSIS)/%$(1).tidy: %.c .clang-tidy tests/.clang-tidy | $$(TEST_LISTS)
	@mkdir -p $$(@D)
	$$(call say,TIDY)
	$$(Q)found=$$$$(clang-tidy --quiet $$< -- -std=c11 $$(ANALYSIS_FLAGS) -fopenmp $(2) 2>&1) || { echo "$$$$found"; exit 1; }
	@$$(CC) -std=c11 $$(ANALYSIS_FLAGS) $(2) -MM -MP -MT $$@ -MF $$@.d $$< && touch $$@

$$(ANALYSIS)/%$(1).cppcheck: %.c .cppcheck | $$(TEST_LISTS)
	@mkdir -p $$(@D)
	$$(call say,CHECK)
	$$(Q)$$(CPPCHECK) -D_OPENMP=201511 $$(ANALYSIS_FLAGS) $(2) $$<
	@$$(CC) -std=c11 $$(ANALYSIS_FLAGS) $(2) -MM -MP -MT $$@ -MF $$@.d $$< && touch $$@

endef
$(eval $(call analysis_rules,.f32,-DINFL_REAL_F32 -DINFL_ISA=base))
$(eval $(call analysis_rules,.f64,-DINFL_REAL_F64 -DINFL_ISA=base))
$(eval $(call analysis_rules,,))

.PHONY: analysis tidy cppcheck
analysis: formatcheck tidy cppcheck ## everything that is found without running anything
tidy: $(ANALYSED:%=%.tidy) ## clang-tidy 14 with .clang-tidy; only files that changed since it found nothing
cppcheck: $(ANALYSED:%=%.cppcheck) ## cppcheck 2.10 without what .cppcheck lists; the same

-include $(ANALYSED:%=%.tidy.d) $(ANALYSED:%=%.cppcheck.d)

# ---- coverage

# What the tests have to reach of src/, in per cent. Of one instruction set alone, this machine's, as counting makes the
# kernels slow enough: the others are the same lines. A process for each suite, with one thread whatever a test asks for:
# threads would have to count by atomic additions, slower by another order. So what only threads do (waiting for a turn)
# counts as not reached.
COVERAGE_LINES = 95
COVERAGE_BRANCHES = 85

.PHONY: coverage coverage-report
coverage: ## lines and branches of src/ that the tests reach (gcc, gcovr), into build/coverage; fails below what is asked
	$(Q)$(MAKE) --no-print-directory coverage-report BUILD=$(BUILD)/coverage LIB=$(BUILD)/coverage/lib ISAS=base \
	    ISA_FLAGS_base=-march=native CFLAGS='-O2 -g' COVERAGE='-O1 --coverage' LDFLAGS=--coverage

coverage-report: $(TEST_PROGRAM)
	$(Q)find $(OBJ) -name '*.gcda' -delete
	$(Q)CK_FORK=no CK_EXCLUDE_TAGS=long OMP_THREAD_LIMIT=1 $(MAKE) --no-print-directory run-suites
	$(Q)scripts/check-coverage $(OBJ) $(BUILD) $(COVERAGE_LINES) $(COVERAGE_BRANCHES)

# ---- installation

.PHONY: install uninstall installcheck
install: $(STATIC) $(SHARED) ## into DESTDIR/PREFIX (/usr/local); LIBDIR, INCLUDEDIR, PKGCONFIGDIR, MANDIR
	$(INSTALL) -d $(DESTDIR)$(LIBDIR) $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(PKGCONFIGDIR) $(DESTDIR)$(MANDIR)/man3
	$(INSTALL) -m 644 include/influence.h $(DESTDIR)$(INCLUDEDIR)/influence.h
	$(INSTALL) -m 644 docs/influence.3 $(DESTDIR)$(MANDIR)/man3/influence.3
	$(INSTALL) -m 644 $(STATIC) $(DESTDIR)$(LIBDIR)/libinfluence.a
	$(INSTALL) -m 755 $(SHARED) $(DESTDIR)$(LIBDIR)/$(notdir $(SHARED))
	ln -sf $(notdir $(SHARED)) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(notdir $(SHARED)) $(DESTDIR)$(LIBDIR)/libinfluence.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
	    -e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@LIBS@|$(STATIC_LIBS)|' pkgconfig/influence.pc.in >$(DESTDIR)$(PKGCONFIGDIR)/influence.pc
	chmod 644 $(DESTDIR)$(PKGCONFIGDIR)/influence.pc

uninstall: ## what install put there
	rm -f $(DESTDIR)$(INCLUDEDIR)/influence.h $(DESTDIR)$(LIBDIR)/libinfluence.a \
	    $(DESTDIR)$(LIBDIR)/$(notdir $(SHARED)) $(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/libinfluence.so \
	    $(DESTDIR)$(PKGCONFIGDIR)/influence.pc $(DESTDIR)$(MANDIR)/man3/influence.3

installcheck: $(STATIC) $(SHARED) ## install into a stage, build C and C++ programs against it, run them, uninstall
	MAKE='$(MAKE)' CC='$(CC)' CXX='$(CXX)' PKG_CONFIG='$(PKG_CONFIG)' scripts/check-install

# ---- documentation

.PHONY: docs
docs: ## the reference and the documents by Doxygen: build/docs/html/index.html, manual pages in build/docs/man
	@scripts/doxygen-filter include/influence.h >/dev/null
	@rm -rf $(BUILD)/docs && mkdir -p $(BUILD)
	VERSION=$(VERSION) DOCS=$(BUILD)/docs doxygen docs/Doxyfile

# ---- the rest

.PHONY: clean help
clean: ## everything that was built
	rm -rf $(BUILD) $(LIB)/libinfluence.*

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

ALL_OBJECTS := $(OBJECTS) $(TEST_OBJECTS) $(EXAMPLES:%.c=$(OBJ)/%.o) $(EXAMPLE_COMMON:%.c=$(OBJ)/%.o) \
               $(BENCHES:%.c=$(OBJ)/%.o) $(ORACLE_PROGRAMS:$(BUILD)/%=$(OBJ)/%.o) $(OBJ)/tests/fuzz/seeds.o
-include $(ALL_OBJECTS:.o=.d)
