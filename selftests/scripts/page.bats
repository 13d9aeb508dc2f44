#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/lab/page: the HTML of a run. The run is logs/nested.log, a triple on Debian's
# 6.1.176-1 in Bochs, as an emulated host printed it.

bats_require_minimum_version 1.5.0

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	OUT=$BATS_TEST_TMPDIR/out
	BOOT=$OUT/k-bochs
	PAGE=$OUT/report.html
	mkdir -p "$BOOT"
	printf '%s\tk-bochs\t6.1.176-1\tbochs\t%s\tnested-vmcs12-pages\tdefault\t1\t%s\t180\t-\n' \
		1 stock "before	fail:rvi_pending" 2 patched "closed	pass" 3 stock "after	fail" >"$BOOT/rows"
	echo 6.1.0-50-amd64 >"$BOOT/release"
	printf 'host=bochs\nend=clean\nreason=\nseconds=27.1\nwarnings=1\noopses=0\n' >"$BOOT/result"
	echo '[    0.000000] Linux version 6.1.0-50-amd64 (someone@example.org)' >"$BOOT/dmesg.log"
	cp "$BATS_TEST_DIRNAME/logs/nested.log" "$BOOT/output.log"
	# Use no maps of this machine.
	export O=$BATS_TEST_TMPDIR/build
}

# page OPTION... - make the page from collect's results of the logs
page()
{
	"$TOP/scripts/lab/collect" "$OUT" >"$OUT/results.tsv"
	run "$TOP/scripts/lab/page" "$@" "$OUT"
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
}

# valid - is it HTML that refers to nothing outside of itself, and are its drawings XML?
valid()
{
	local one

	command -v tidy >/dev/null || skip "there is no tidy; apt-get install tidy"
	command -v xmllint >/dev/null || skip "there is no xmllint; apt-get install libxml2-utils"
	tidy -q -e -utf8 "$PAGE" >"$PAGE.tidy" 2>&1 || { cat "$PAGE.tidy"; return 1; }
	[ ! -s "$PAGE.tidy" ] || { cat "$PAGE.tidy"; return 1; }
	! grep -nE '<(script|link|img|iframe|object)|url\(|@import|(src|href)="[^#]' "$PAGE" || return 1
	# The target of each link exists, once.
	while IFS= read -r one; do
		[ "$(grep -cF " id=\"$one\"" "$PAGE")" -eq 1 ] || { echo "target $one"; return 1; }
	done < <(grep -oE 'href="#[^"]*"' "$PAGE" | sort -u | sed 's/^href="#//; s/"$//')
	[ -z "$(grep -oE ' id="[^"]*"' "$PAGE" | sort | uniq -d)" ] || return 1
	awk '/^<svg /, /^<\/svg>/' "$PAGE" | sed 's/^<svg /<svg x="0" /' >"$PAGE.svg"
	{ echo "<all>"; cat "$PAGE.svg"; echo "</all>"; } | xmllint --noout - || return 1
}

# text XPATH - print the text of the page, as a browser shows it
text()
{
	xmllint --html --xpath "string($1)" "$PAGE" 2>/dev/null
}

@test "page: verdict, table, ladder, steps, environment and logs, in one valid file" {
	page
	[ "$output" = "$PAGE" ]
	valid
	[ "$(text '//p[@class="verdict"]')" = "All is as expected." ]
	[ "$(text '//section[@id="table"]//tbody/tr[1]/td[1]')" = nested-vmcs12-pages ]
	[ "$(text '//section[@id="table"]//tbody/tr[1]/td[4]')" = "shows 1/1 (vulnerable)" ]
	[ "$(xmllint --html --xpath 'count(//section[@id="steps"]/details)' "$PAGE" 2>/dev/null)" = 3 ]
	grep -q "<title>nested-vmcs12-pages, rvi_pending: 6.1.0-50-amd64, bochs, as shipped</title>" "$PAGE"
	[[ $(text '//section[@id="ladders"]//details/pre') == *"it is still asleep"* ]]
	[[ $(text '//section[@id="environment"]') == *"Linux version 6.1.0-50-amd64"* ]]
	# A case names the line of the log, which has its number in the page.
	[[ $(text '//section[@id="steps"]/details[1]//td[5]') =~ ^k-bochs/output.log:([0-9]+)$ ]]
	[[ $(text '//pre[@id="log-k-bochs-output"]') == *" ${BASH_REMATCH[1]}  #  RUN           global.rvi_pending"* ]]
	# The page has no path of the machine that made it.
	! grep -F "$BATS_TEST_TMPDIR" "$PAGE" || return 1
}

@test "page: an unexpected result is marked, with its place" {
	sed -i 's/^not ok 1 /ok 1 /' "$BOOT/output.log"
	page
	valid
	[ "$(text '//p[@class="verdict"]')" = "Not all is as expected." ]
	[[ $(text '//section[@id="table"]//td[@class="why"]') == "run 1, before: "*": k-bochs/output.log:"* ]]
	[[ $(text '//tr[@class="wrong"]') == *"not as expected"* ]]
	printf 'host=bochs\nend=hang\nreason=no output\nseconds=300\n' >"$BOOT/result"
	sed -i '/^@lab@ end 3/,$d' "$BOOT/output.log"
	page
	valid
	[ "$(text '//p[@class="verdict"]')" = "A host died that should not have." ]
}

@test "page: markup and bytes that are no text in a log do nothing" {
	printf '%s\n' '</pre><script>alert(1)</script>' 'a &amp; b "c" <d>' $'\033[31mred\r' $'\377\376 \001 \303\251' >"$BOOT/console.log"
	printf 'end=clean\nreason=<i>"x"&\nseconds=<b>\nhost=bochs\nwarnings=1\noopses=0\n' >"$BOOT/result"
	# Put markup into a reason and into a ladder.
	sed -i 's,^# not named: stress.*,# not named: stress\nok 1 # SKIP <script>&"</td>,; s/it is still asleep/it <is> \&still; <\/svg>/' "$BOOT/output.log"
	page
	valid
	! grep -i '<script' "$PAGE" || false
	[[ $(text '//pre[@id="log-k-bochs-console"]') == *'1  </pre><script>alert(1)</script>'*'2  a &amp; b "c" <d>'*'3  [31mred'*'4    é'* ]]
	[[ $(text '//section[@id="environment"]') == *'clean <i>"x"&'* ]]
}

@test "page: a long log is cut to its end, with the numbers of its lines" {
	awk 'BEGIN { for (i = 1; i <= 5003; i++) print "line " i "." }' >"$BOOT/console.log"
	page
	valid
	[[ $(text '//section[@id="logs"]/details[2]/summary') == "k-bochs/console.log: 5003 lines, the last 5000" ]]
	grep -qxF "     4  line 4." "$PAGE"
	! grep -F "line 3." "$PAGE" || return 1
}

@test "page: maps of sweeps, of mutations and trees the tables" {
	mkdir -p "$O/sweep/gpc-refresh-6.1-qemu"
	printf '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="9" height="9">\n<title>a map</title>\n</svg>\n' \
		>"$O/sweep/gpc-refresh-6.1-qemu/map-first.svg"
	echo "a < map" >"$O/sweep/gpc-refresh-6.1-qemu/map-first"
	page --out "$PAGE"
	valid
	[ "$(text '//section[@id="maps"]//pre')" = "a < map" ]
	page --view tree
	valid
	[ "$(text '//section[@id="table"]//tbody/tr[1]/td[1]')" = "6.1.0-50-amd64 (6.1.176-1)" ]
	page --view mutations
	valid
}

@test "page: a run that is not there, and bad use, are refused and leave no file" {
	run -2 "$TOP/scripts/lab/page" "$OUT"
	[[ $output == *"there is no $OUT/results.tsv: make demo first"* ]]
	"$TOP/scripts/lab/collect" "$OUT" >"$OUT/results.tsv"
	for args in "--view mars" "--out" "--what"; do
		# shellcheck disable=SC2086 # the splitting is intended
		run -2 "$TOP/scripts/lab/page" $args "$OUT"
	done
	[ ! -e "$PAGE" ] && [ ! -e "$PAGE.new" ]
}
