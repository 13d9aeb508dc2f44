#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/lab/report: are all results as expected? Each test takes results that are, and changes
# them so that they are not.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	RESULTS=$BATS_TEST_TMPDIR/results.tsv
}

# r SET STAGE RUN CASE EXPECT RESULT [REASON] - print a result of gpc-refresh on 6.1 in QEMU, or
# HOST
r()
{
	local name=$4

	[ "$name" != step ] || name='*'
	printf '%s\t' "${KERNEL-6.1}" "${RELEASE-6.1.0-56-amd64}" "${HOST-qemu}" "$1" gpc-refresh "$2" "$3" "$name" "$5" "$6" 1.5 7 "${7-}"
	echo log
}

# demo_rows - print the rows of a demo in which all is well: one race, two runs, a fatal case,
# control
demo_rows()
{
	local run stage

	for run in 1 2; do
		for stage in before closed after; do
			if [ $stage = closed ]; then
				r patched closed $run forced pass pass
				r patched closed $run xen pass skip "no KVM_XEN"
				r patched closed $run fatal pass skip "no KVM_XEN"
				r patched closed $run step pass pass
			else
				r reopen-gpc-refresh $stage $run forced fail fail
				r reopen-gpc-refresh $stage $run harmless any pass
				r reopen-gpc-refresh $stage $run xen any fail
				r reopen-gpc-refresh $stage $run fatal any unnamed "name it"
				r reopen-gpc-refresh $stage $run step fail fail "forced xen"
			fi
		done
	done
	r control-gpc-refresh control 1 forced pass pass
	r control-gpc-refresh control 1 xen pass pass
	r control-gpc-refresh control 1 fatal pass pass
	r control-gpc-refresh control 1 step pass pass
	r stock shipped 1 forced any fail
	r stock shipped 1 step fail fail forced
	r reopen-gpc-refresh once fatal fatal dies dies
	r reopen-gpc-refresh once fatal step dies dies "in fatal: Fatal exception"
}

setup_file()
{
	demo_rows | sed = | sed 'N; s/\(.*\)\n\(.*\)/\2:\1/' >"$BATS_FILE_TMPDIR/demo.tsv"
}

# demo_results - write these rows, with log:1 and so on in the last column
demo_results()
{
	cp "$BATS_FILE_TMPDIR/demo.tsv" "$RESULTS"
}

# change STAGE RUN CASE RESULT - change a row of the results
change()
{
	local name=$3

	[ "$name" != step ] || name='*'
	awk -F '\t' -v OFS='\t' -v stage="$1" -v run="$2" -v name="$name" -v result="$4" '
		$6 == stage && $7 == run && $8 == name { $10 = result; n++ }
		{ print }
		END { exit n != 1 }' "$RESULTS" >"$RESULTS.new"
	mv "$RESULTS.new" "$RESULTS"
}

# demo_says STATUS TEXT... - does that view exit with STATUS, and print these lines?
demo_says()
{
	local want=$1 text

	shift
	run "$TOP/scripts/lab/report" demo "$RESULTS"
	echo "$output"
	[ "$status" -eq "$want" ] || return 1
	for text; do
		grep -qxF -- "$text" <<<"$output" || { echo "no line '$text'"; return 1; }
	done
}

@test "report demo: all as it should be" {
	demo_results
	demo_says 0
	diff - <(echo "$output") <<-'END'
	race                                 kernel                 host   unpatched                  patched        time
	gpc-refresh                          6.1.0-56-amd64         qemu   shows 2/2 (reopened)       closed 2/2     21 s a run
	  as shipped                         6.1.0-56-amd64         qemu   shows 1/1 (vulnerable)     as above
	  fatal                              6.1.0-56-amd64         qemu   host dies 1/1 (reopened)   by control     7.0 s

	gpc-refresh, 6.1, qemu, patched: 2 of 3 cases skipped: no KVM_XEN
	gpc-refresh, 6.1, qemu, control: closed 1/1
	END
	# The results may be in several files.
	grep closed "$RESULTS" >"$RESULTS.1"
	grep -v closed "$RESULTS" >"$RESULTS.2"
	run -0 "$TOP/scripts/lab/report" demo "$RESULTS.2" "$RESULTS.1"
}

# here EXPECT "BEFORE CLOSED AFTER"... - make results of a race on this machine, from those of its
# steps
here()
{
	local want=$1 run=0 stage result

	shift
	for results; do
		run=$((run + 1))
		for stage in before closed after; do
			result=${results%% *}
			results=${results#* }
			case $stage in
			closed) HOST=local r patched $stage $run step pass "$result" ;;
			*) HOST=local r stock $stage $run step "$want" "$result" ;;
			esac
		done
	done | sed = | sed 'N; s/\(.*\)\n\(.*\)/\2:\1/' >"$RESULTS"
}

# here_says STATUS UNPATCHED PATCHED - does the demo's view exit so, and print that row?
here_says()
{
	run "$TOP/scripts/lab/report" demo "$RESULTS"
	echo "$output"
	[ "$status" -eq "$1" ] && grep -qE "^gpc-refresh +6.1.0-56-amd64 +local  $2 +$3 +21 s a run$" <<<"$output"
}

@test "report demo: on this machine, of each run both unpatched steps count" {
	here any "fail pass fail" "fail pass fail"
	here_says 0 'shows 2/2 \(vulnerable\)' 'closed 2/2'
	[[ $output != *"there was nothing to close"* ]]
	here any "fail pass fail" "fail pass pass"
	here_says 1 'shows 1/2 \(vulnerable\)' 'closed 2/2'
	[[ $output == *"    run 2, after: no case fails, but the race showed in another step: log:6"* ]]
	here any "fail fail fail" "fail skip fail"
	here_says 1 'shows 2/2 \(vulnerable\)' 'SHOWS 0/2'
	here any "pass pass pass" "pass unfinished pass" "unfinished pass pass"
	here_says 1 'unclear 2/3' 'unclear 2/3'
	[[ $output == *"    run 3, before: unfinished: log:7"* ]]
}

@test "report demo: on this machine, a race that does not show must not be in the source" {
	here any "pass pass pass"
	here_says 0 'does not show \(as shipped\)' 'closed 1/1'
	[[ $output == *"No race that was tried shows on this kernel's own modules: there was nothing to close"* ]]
	here fail "pass pass pass"
	here_says 1 'does not show 0/1 \(vulnerable\)' 'closed 1/1'
	[[ $output != *"there was nothing to close"* ]]
	here any "pass fail pass"
	here_says 1 'does not show \(as shipped\)' 'SHOWS 0/1'
	[[ $output != *"there was nothing to close"* ]]
}

@test "report demo: on this machine, a race that cannot be tried is no error, but no race at all is" {
	HOST=local r stock before 1 step any skip "no VMX" >"$RESULTS"
	run -1 "$TOP/scripts/lab/report" demo "$RESULTS"
	grep -qE '^gpc-refresh +6.1.0-56-amd64 +local  not tried: no VMX$' <<<"$output"
	[[ $output == *"No race could be tried on this machine"* ]]
	HOST=local r stock before 1 step fail skip "no VMX" >"$RESULTS.1"
	here any "pass pass pass"
	sed 's/gpc-refresh/tdp-mmu-zap/' "$RESULTS.1" >>"$RESULTS"
	run -0 "$TOP/scripts/lab/report" demo "$RESULTS"
	grep -qE '^tdp-mmu-zap +6.1.0-56-amd64 +local  not tried: no VMX \(vulnerable\)$' <<<"$output"
}

@test "report demo: a case that must fail on an unfixed kernel and does not is an error" {
	for result in pass skip lost; do
		demo_results
		change after 2 forced $result
		at=$(awk -F '\t' '$6 == "after" && $7 == 2 && $8 == "forced" { print $14 }' "$RESULTS")
		demo_says 1 \
			"gpc-refresh                          6.1.0-56-amd64         qemu   shows 1/2 (reopened)       closed 2/2     21 s a run" \
			"    run 2, after: forced: $result, not fail: $at"
	done
}

@test "report demo: a test that ends otherwise than by a failing case does not show" {
	for result in pass error lost; do
		demo_results
		change before 1 step $result
		change before 2 step $result
		demo_says 1
		[[ $output == *"does not show 0/2 (reopened)"* ]]
	done
	[[ $output == *"run 1, before: lost (forced xen): log:5"* ]]
}

@test "report demo: on fixed modules a case that fails shows, and one that does not end is unclear" {
	demo_results
	change closed 1 forced fail
	change closed 1 step fail
	demo_says 1
	[[ $output == *"SHOWS 1/2"*"run 1, fixed: forced: fail, not pass: log:6"* ]]
	for result in unfinished lost; do
		demo_results
		change closed 1 forced $result
		demo_says 1
		[[ $output == *"unclear 1/2"*"run 1, fixed: forced: $result, not pass: log:6"* ]]
	done
	for result in skip unfinished; do
		demo_results
		change closed 1 step $result
		demo_says 1
		[[ $output == *"unclear 1/2"* ]]
	done
}

@test "report demo: a skip on fixed modules is no pass: failing cases of unfixed ones must pass by control" {
	demo_results
	change control 1 xen skip
	demo_says 1
	[[ $output == *"unclear 0/2"*"xen: skip, but it fails on unfixed modules: log:7"* ]]
	# A case that never showed the race may skip.
	for stage in before after; do
		for run in 1 2; do
			change $stage $run xen skip
		done
	done
	demo_says 0
	# A fatal case is compared with its own boot.
	change control 1 fatal skip
	demo_says 1
	[[ $output == *"  fatal "*"not shown"*"fixed: skip: log:"* ]]
}

@test "report demo: control modules that do not pass are an error" {
	demo_results
	change control 1 forced fail
	change control 1 step fail
	demo_says 1
	[[ $output == *"control: NOT closed (fail): log:"* ]]
}

@test "report demo: a race that is open as shipped must show" {
	demo_results
	change shipped 1 step pass
	demo_says 1
	[[ $output == *"as shipped "*"does not show 0/1"*"as shipped: no case fails (forced): log:"* ]]
}

@test "report demo: a fatal case must kill the host, in the way that its race names" {
	for result in panic pass; do
		demo_results
		change once fatal step $result
		demo_says 1
		[[ $output == *"  fatal "*"does not show 0/1"*"unfixed: $result (in fatal: Fatal exception): log:"* ]]
	done
}

@test "report demo: a host that dies unexpectedly is 3" {
	for result in panic hang; do
		demo_results
		change closed 2 step $result
		demo_says 3
		[[ $output == *"unclear 1/2"* ]]
	done
}

@test "report demo: a step that was not run is named" {
	demo_results
	sed -i '/\tbefore\t2\t/d' "$RESULTS"
	demo_says 1
	[[ $output == *"shows 1/2"*"run 2, before: it did not run"* ]]
}

# mutation NAME RESULT [REASON] - add the step on a mutation, or on patched modules
mutation()
{
	local stage=mutation expect=caught

	case $1 in patched|control) stage=$1 expect=pass ;; esac
	r "set-$1" "$stage" "$1" step $expect "$2" "${3-}" >>"$RESULTS"
}

# mutations_say STATUS TEXT... - does that view exit so, and print these verdicts in order?
mutations_say()
{
	local want=$1

	shift
	run "$TOP/scripts/lab/report" mutations "$RESULTS"
	echo "$output"
	[ "$status" -eq "$want" ] || return 1
	diff <(printf '%s\n' "$@") <(sed -n 's/.* qemu   //p' <<<"$output")
}

@test "report mutations: caught is a failing case or a dead host; all other results are named" {
	: >"$RESULTS"
	mutation patched pass
	mutation control pass
	mutation a fail "forced xen"
	mutation b panic "in xen: Fatal exception"
	mutation c panic "Fatal exception"
	mutation d timeout forced
	mutations_say 0 "passes, as it should" "passes, as it should" "caught: forced xen" \
		"caught: the host dies of xen" "caught: the host dies of it" "caught: forced"
	mutation e pass
	mutations_say 1 "passes, as it should" "passes, as it should" "caught: forced xen" \
		"caught: the host dies of xen" "caught: the host dies of it" "caught: forced" SURVIVES
	for result in skip unfinished; do
		: >"$RESULTS"
		mutation a $result why
		mutations_say 1 "NOT TRIED: $result (why)"
	done
	for result in hang no-boot; do
		: >"$RESULTS"
		mutation a $result why
		mutations_say 3 "NOT TRIED: $result (why)"
	done
}

@test "report mutations: a test that fails or skips on patched modules is an error" {
	for result in fail skip; do
		for set in patched control; do
			: >"$RESULTS"
			mutation $set $result why
			mutation a fail forced
			mutations_say 1 "FAILS on $set modules: $result (why)" "caught: forced"
		done
	done
	: >"$RESULTS"
	mutation patched panic why
	mutations_say 3 "FAILS on patched modules: panic (why)"
	# The test passed, and one of its cases did not.
	: >"$RESULTS"
	mutation patched pass
	r set-patched patched patched forced pass lost >>"$RESULTS"
	mutations_say 1 "FAILS on patched modules: pass"
}

# tree_step STAGE RUN RESULT [REASON] - add a step on a tree
tree_step()
{
	local set=stock expect=any KERNEL=/build/trees/6.1.7 RELEASE=6.1.7-racefix

	[ "$1" != closed ] || set=patched expect=pass
	r $set "$1" "$2" step "$expect" "$3" "${4-}" >>"$RESULTS"
}

# tree_says STATUS UNPATCHED PATCHED - does the view exit so for one race?
tree_says()
{
	run "$TOP/scripts/lab/report" --tsv tree "$RESULTS"
	echo "$output"
	[ "$status" -eq "$1" ] || return 1
	diff - <(echo "$output") <<<"6.1.7	gpc-refresh	qemu	$2	$3"
	: >"$RESULTS"
}

@test "report tree: the races of a tree, unmodified and with patches" {
	: >"$RESULTS"
	for result in fail pass; do
		tree_step before 1 fail
		tree_step closed 1 pass
		tree_step after 1 $result
		tree_says 0 "shows $([ $result = fail ] && echo 2 || echo 1)/2" "closed 1/1"
	done
	tree_step before 1 pass
	tree_step closed 1 pass
	tree_step after 1 pass
	tree_says 0 "does not show 0/2" "closed 1/1"
	tree_step as-is 1 pass
	tree_says 0 "does not show 0/1" "no patch"
	tree_step as-is 1 skip "no such thing"
	tree_says 0 "not tried: no such thing" "no patch"
	tree_step before 1 skip "no such thing"
	tree_step closed 1 skip "no such thing"
	tree_step after 1 skip "no such thing"
	tree_says 0 "not tried: no such thing" "not tried"
}

@test "report tree: a race without patches, or that shows with them, is an error" {
	: >"$RESULTS"
	tree_step as-is 1 fail
	tree_says 1 "shows 1/1" "no patch"
	tree_step before 1 fail
	tree_step closed 1 fail
	tree_step after 1 fail
	tree_says 1 "shows 2/2" "SHOWS 1/1"
	for result in skip unfinished; do
		tree_step before 1 fail
		tree_step closed 1 $result
		tree_step after 1 fail
		tree_says 1 "shows 2/2" "$([ $result = skip ] && echo "not tried" || echo "failed: $result")"
	done
	tree_step as-is 1 error
	tree_says 1 "failed: error" "no patch"
	# A case failed although the test did not.
	tree_step before 1 fail
	tree_step closed 1 pass
	KERNEL=/build/trees/6.1.7 r patched closed 1 forced pass lost >>"$RESULTS"
	tree_step after 1 fail
	tree_says 1 "shows 2/2" "unclear 0/1"
}

@test "report tree: a host that dies is 3, unless in its fatal case" {
	: >"$RESULTS"
	tree_step before 1 panic
	tree_step closed 1 lost
	tree_step after 1 lost
	tree_says 3 "the host died" "the host died"
	for result in dies fail pass skip hang; do
		tree_step as-is 1 pass
		tree_step once fatal $result
		run "$TOP/scripts/lab/report" --tsv tree "$RESULTS"
		case $result in
		dies) want=0 text="host dies 1/1" ;;
		fail|pass) want=0 text="does not show 0/1" ;;
		skip) want=0 text="not tried" ;;
		hang) want=1 text="failed: hang" ;;
		esac
		[ "$status" -eq $want ]
		[[ $output == *"gpc-refresh: fatal	qemu	$text	as above" ]]
		: >"$RESULTS"
	done
	# A tree of another name, as text.
	tree_step as-is 1 fail
	sed -i 's,6.1.7\t,mine\t,' "$RESULTS"
	run -1 "$TOP/scripts/lab/report" tree "$RESULTS"
	[[ $output == "6.1.7 (mine) "*"    run 1, as-is"* || $output == "6.1.7 (mine) "*"no patch" ]]
}

@test "report: bad input is refused" {
	for args in '' demo 'demo /nonexistent' "mars $BATS_TEST_DIRNAME/report.bats"; do
		# shellcheck disable=SC2086 # the splitting is intended
		run -2 "$TOP/scripts/lab/report" $args
	done
	[[ $output == *"no view 'mars'; there are: "*demo* ]]
	# An empty run, and the table of another script.
	for text in '' '6.1.7	gpc-refresh	qemu	shows 2/2	closed 1/1'; do
		echo "$text" >"$RESULTS"
		run -2 "$TOP/scripts/lab/report" tree "$RESULTS"
		[[ $output == *"no result of a step"* ]]
	done
	run -2 "$TOP/scripts/lab/report" --yaml demo "$BATS_TEST_DIRNAME/report.bats"
}

# machine_forms STATUS VIEW - are the results valid as KTAP and as JUnit, and is the verdict of
# TAP's own parser and of the counts in the XML that of report, STATUS?
machine_forms()
{
	local want=$1 ktap=$BATS_TEST_TMPDIR/ktap xml=$BATS_TEST_TMPDIR/xml rc=0

	command -v xmllint >/dev/null || skip "there is no xmllint; apt-get install libxml2-utils"
	run "$TOP/scripts/lab/report" --ktap "$2" "$RESULTS"
	[ "$status" -eq "$want" ] || return 1
	echo "$output" >"$ktap"
	prove -e cat "$ktap" >"$ktap.prove" 2>&1 || rc=1
	cat "$ktap.prove"
	! grep -q "Parse errors" "$ktap.prove" || return 1
	[ $rc -eq $((want != 0)) ] || return 1
	# Check subtests with the same parser: each is TAP of its own, and the line below has its
	# verdict.
	awk -v dir="$BATS_TEST_TMPDIR" '
		/^    / { print substr($0, 5) >(dir "/sub"); has_sub = 1; next }
		/^(not )?ok / && has_sub {
			close(dir "/sub")
			failed = system("prove -e cat " dir "/sub >/dev/null 2>&1")
			if ((failed != 0) != ($1 == "not"))
				bad = bad $0 "\n"
			has_sub = 0
		}
		END { printf "%s", bad; exit bad != "" }' "$ktap" || return 1
	run "$TOP/scripts/lab/report" --junit "$2" "$RESULTS"
	[ "$status" -eq "$want" ] || return 1
	echo "$output" >"$xml"
	xmllint --noout --schema "$TOP/doc/schema/junit.xsd" "$xml" || return 1
	[ "$(xmllint --xpath 'number(/testsuites/@tests) = count(//testcase) and
		number(/testsuites/@failures) = count(//failure) and number(/testsuites/@errors) = count(//error) and
		number(/testsuites/@skipped) = count(//skipped) and sum(//testsuite/@tests) = count(//testcase)' "$xml")" = true ] ||
		return 1
	[ "$(xmllint --xpath 'count(//failure) + count(//error) > 0' "$xml")" = "$([ "$want" -eq 0 ] && echo false || echo true)" ]
}

@test "report for programs: all as it should be is ok in KTAP and JUnit, and names the expected result" {
	demo_results
	machine_forms 0 demo
	grep -qxF "    ok 1 forced" "$BATS_TEST_TMPDIR/ktap"
	grep -qxF "    # forced: fail, as expected" "$BATS_TEST_TMPDIR/ktap"
	grep -qxF "    ok 2 xen # SKIP no KVM_XEN" "$BATS_TEST_TMPDIR/ktap"
	grep -qxF "    # fatal: dies, as expected" "$BATS_TEST_TMPDIR/ktap"
	grep -qxF "1..10" "$BATS_TEST_TMPDIR/ktap"
	grep -qxF "ok 10 table of demo" "$BATS_TEST_TMPDIR/ktap"
	[ "$(xmllint --xpath 'string(//testsuite[@name="6.1 qemu gpc-refresh closed 2"]/testcase[@name="xen"]/skipped/@message)' \
		"$BATS_TEST_TMPDIR/xml")" = "no KVM_XEN" ]
}

@test "report for programs: cases have the time of their host" {
	awk -F "\t" -v OFS="\t" '$8 == "forced" { $11 = "1.50" } { print }' "$BATS_FILE_TMPDIR/demo.tsv" >"$RESULTS"
	machine_forms 0 demo
	[ "$(xmllint --xpath 'count(//testcase[@name="forced" and @time="1.5"])' "$BATS_TEST_TMPDIR/xml")" -gt 0 ]
	[ "$(xmllint --xpath 'count(//testcase[@time])' "$BATS_TEST_TMPDIR/xml")" -eq \
		"$(awk -F "\t" '$8 != "*" && $11 != "" { n++ } END { print n }' "$RESULTS")" ]
}

@test "report for programs: each failure of report is one in KTAP and JUnit" {
	local change

	# The step, the run and the case that is changed, its result, and report's exit code.
	while read -r change; do
		demo_results
		# shellcheck disable=SC2086 # the splitting is intended
		change ${change% *}
		machine_forms "${change##* }" demo || { echo "$change"; return 1; }
	done <<-'END'
	after 2 forced pass 1
	after 2 forced skip 1
	before 1 step error 1
	closed 1 forced fail 1
	closed 1 step unfinished 1
	closed 2 step panic 3
	control 1 xen skip 1
	control 1 fatal skip 1
	control 1 step skip 1
	shipped 1 step pass 1
	once fatal step pass 1
	END
	demo_results
	sed -i '/\tbefore\t2\t/d' "$RESULTS"
	machine_forms 1 demo
	grep -q "^not ok .* table of demo" "$BATS_TEST_TMPDIR/ktap"
}

@test "report for programs: a result that the view of mutations or trees accepts is ok, others are not" {
	: >"$RESULTS"
	mutation patched pass
	mutation a fail forced
	mutation b panic "in xen: Fatal exception"
	machine_forms 0 mutations
	mutation c pass
	machine_forms 1 mutations
	grep -q "^not ok 4 6.1 qemu gpc-refresh mutation c" "$BATS_TEST_TMPDIR/ktap"
	# A race that a tree cannot show, as its plan has to expect.
	: >"$RESULTS"
	tree_step before 1 skip "no such thing"
	tree_step closed 1 skip "no such thing"
	tree_step after 1 skip "no such thing"
	tree_step once fatal pass
	machine_forms 0 tree
	grep -qxF "ok 2 6.1.7 qemu gpc-refresh closed 1 # SKIP no such thing" "$BATS_TEST_TMPDIR/ktap"
	tree_step as-is 1 panic
	machine_forms 3 tree
}

@test "report for programs: markup, hashes and bytes that are no text in a log stay text" {
	demo_results
	printf '6.1\t6.1.0\tqemu\tstock\tgpc-refresh\tbefore\t9\todd\tany\tskip\t\t\t<b a="1">&amp; # SKIP \001 \377 ]]>\tlog\n' >>"$RESULTS"
	printf '6.1\t6.1.0\tqemu\tstock\tgpc-refresh\tbefore\t9\t*\tfail\tfail\t1\t1\t<&#>\tlog\n' >>"$RESULTS"
	machine_forms 0 demo
	[ "$(xmllint --xpath 'string(//testcase[@name="odd"]/skipped/@message)' "$BATS_TEST_TMPDIR/xml")" = '<b a="1">&amp; # SKIP ?  ]]>' ]
}

@test "report for programs: the schema refuses a file that is no JUnit" {
	command -v xmllint >/dev/null || skip "there is no xmllint; apt-get install libxml2-utils"
	demo_results
	"$TOP/scripts/lab/report" --junit demo "$RESULTS" >"$BATS_TEST_TMPDIR/xml"
	for change in 's/ tests="[0-9]*"//' 's/<skipped message/<skip message/' 's/ name="forced"/ name="step"/' \
		's,</testsuites>,<other/></testsuites>,'; do
		sed "$change" "$BATS_TEST_TMPDIR/xml" >"$BATS_TEST_TMPDIR/changed"
		! cmp -s "$BATS_TEST_TMPDIR/xml" "$BATS_TEST_TMPDIR/changed" || false
		! xmllint --noout --schema "$TOP/doc/schema/junit.xsd" "$BATS_TEST_TMPDIR/changed" 2>/dev/null ||
			{ echo "$change"; return 1; }
	done
}

@test "report: no row is no success" {
	# The results are of a race that the project does not have.
	demo_results
	sed -i 's/gpc-refresh/no-race/g' "$RESULTS"
	run -1 "$TOP/scripts/lab/report" demo "$RESULTS"
	[[ $output == *"nothing was run"* ]]
	run -1 "$TOP/scripts/lab/report" --ktap demo "$RESULTS"
}
