#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/costs: the table that it makes of counts, and the hosts that it boots. Its kernel,
# modules and host are stubs here; the output of the host was recorded on 6.1.192-3 in QEMU.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=selftests/scripts/stubs.sh
	. "$BATS_TEST_DIRNAME/stubs.sh"
	lab_copy
	stub_sources
	mkdir -p "$COPY/doc/results" "$O/selftests"
	cp /bin/true "$O/selftests/costs"
	printf 'selftests/costs:\n%s/selftests/costs:\n' "$O" >"$COPY/selftests/Makefile"
	# The host prints, for each set of the payload, the file of its name.
	stub_host '
		for set in $(cat "$payload/sets"); do
			echo "@costs@ begin $set"; cat "$O/says-$set"; echo "@costs@ end $set ${STATUS:-0}"
		done
		echo "$(cat "$payload/sets")" >>"$O/orders"'
	says stock exit 2980 2980
	says stock "page fault" 2748 2768
	says stock "vCPU creation" 36149 36280
	says patched exit 2980 2980
	says patched "page fault" 2748 2768
	says patched "vCPU creation" 36149 36390
}

# says SET PATH MINIMUM MEDIAN - add a line to the host's output
says()
{
	printf 'cost\t%s\t%s\t%s\t256\n' "$2" "$3" "$4" >>"$O/says-$1"
}

# costs STATUS ARGUMENT...
costs()
{
	run "-$1" "$COPY/scripts/lab/costs" --kernel 6.1 "${@:2}"
}

@test "costs: as many instructions on both sets are no cost" {
	costs 0
	[[ $output =~ "6.1.192-3 "+"qemu "+"exit "+"2980 "+"2980 "+"+0 "+"+0.000 "+"+0 "+- ]]
	[[ $output =~ "page fault "+"2748 "+"2748 " ]]
}

@test "costs: two boots, the sets in either order, with a TSC that counts" {
	costs 0 --host bochs
	[ "$(cat "$O/orders")" = $'stock patched\npatched stock' ]
	[ "$(grep -c -- "--host bochs .*--icount" "$O/booted")" -eq 2 ]
	[ "$(wc -l <"$O/costs/results.tsv")" -eq 12 ]
	[ "$(cat "$O/built")" = "--kernel 6.1 --variant patched" ]
}

@test "costs: a path that costs more than the limit is marked, and exits with 1" {
	sed -i 's/2980/2984/g' "$O/says-patched"
	costs 1
	[[ $output =~ "+4 "+"+0.134 ".*MORE ]]
	[ "$(grep -c MORE <<<"$output")" -eq 1 ]
	costs 0 --limit 0.2
	# A cost equal to the limit is accepted, and so is a negative one.
	sed -i 's/2984/2979/g; s/36149/36185/' "$O/says-patched"
	costs 0
	[[ $output =~ "-1 "+"-0.034 " ]]
	[[ $output =~ "+36 "+"+0.100 " ]]
}

# rows FIRST-STOCK SECOND-PATCHED FIRST-PATCHED SECOND-STOCK... - print the rows of boots of one
# path
rows()
{
	local boot

	for ((boot = 1; $#; boot += 2)); do
		printf '6.1\tqemu\t%s\texit\t%s\t%s\t%s\t256\n' stock $boot "$1" "$1" patched $boot "$2" "$2" \
			patched $((boot + 1)) "$3" "$3" stock $((boot + 1)) "$4" "$4"
		shift 4
	done >"$O/rows"
}

@test "costs: sets that came first are compared, and those that came second" {
	rows 1000 1107 1000 1100
	run -0 awk -v limit=0.1 -f "$TOP/scripts/lab/view/costs.awk" "$O/rows"
	[[ $output =~ "exit "+"1000 "+"1000 "+"+0 "+"+0.000 "+"+7 "+- ]]
	# A path that costs more in one order only is no cost of the patches.
	rows 1000 1100 1007 1100
	run -0 awk -v limit=0.1 -f "$TOP/scripts/lab/view/costs.awk" "$O/rows"
	[[ $output =~ "1000 "+"1007 "+"+7 "+"+0.700 "+"+0 " ]]
	rows 1000 1102 1007 1100
	run -1 awk -v limit=0.1 -f "$TOP/scripts/lab/view/costs.awk" "$O/rows"
	[[ $output =~ "+7 "+"+0.700 "+"+2 ".*MORE ]]
}

@test "costs: the difference between equal boots is printed, if they were repeated" {
	rows 1000 1100 1000 1100 1000 1100 1000 1100
	run -0 awk -v limit=0.1 -f "$TOP/scripts/lab/view/costs.awk" "$O/rows"
	[[ $output =~ "exit "+"1000 "+"1000 "+"+0 "+"+0.000 "+"+0 "+same ]]
	rows 1000 1100 1000 1100 1000 1100 1000 1103
	run -0 awk -v limit=0.1 -f "$TOP/scripts/lab/view/costs.awk" "$O/rows"
	[[ $output =~ "+0 "+"+0.000 "+"+0 "+~3 ]]
}

@test "costs: a path that the kernel has not is left out; one that a set lacks is an error" {
	printf 'cost\tXen event\t-\tno event channels in this kvm.ko\n' | tee -a "$O/says-stock" >>"$O/says-patched"
	costs 0
	[[ $output != *Xen* ]]
	says stock "first KVM_RUN" 75209 75209
	costs 1
	[[ $output == *"first KVM_RUN was not counted on both sets"* ]]
}

@test "costs: a path that fails, or a host that dies, is no result" {
	STATUS=1 costs 3
	[[ $output == *"not all could be counted; see "*output.log* ]]
	HOST_RC=3 costs 3
	[ ! -s "$O/costs/results.tsv" ]
}

@test "costs: against other modules than the kernel's own" {
	cp "$O/says-stock" "$O/says-unpatched"
	costs 0 --against unpatched
	[ "$(cat "$O/built")" = $'--kernel 6.1 --variant patched\n--kernel 6.1 --variant unpatched' ]
}

@test "costs: the page has a row for each path, and keeps those of other kernels" {
	costs 0
	run -0 "$COPY/scripts/lab/costs" --table
	page=$COPY/doc/results/costs.md
	grep -qF '| 6.1.192-3 | qemu | stock | exit | 2980 | 2980 | +0 | +0.000 | +0 | - |' "$page"
	sed -i 's/6.1.192-3/6.1.176-1/' "$page"
	run "$COPY/scripts/lab/costs" --table
	[ "$(grep -c '^| 6.1.1' "$page")" -eq 6 ]
}

@test "costs: a wrong use is named" {
	for args in "--host kvm" "--against patched" "--boots 0" "--boots 3" "--limit much" "--kernel /nowhere/"; do
		# shellcheck disable=SC2086 # the splitting is intended
		run -2 "$COPY/scripts/lab/costs" $args
		[ -n "$output" ]
	done
}

@test "costs: four boots are each order twice" {
	costs 0 --boots 4
	[ "$(cat "$O/orders")" = $'stock patched\npatched stock\nstock patched\npatched stock' ]
	[[ $output == *" same"* ]]
}
