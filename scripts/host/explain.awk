# SPDX-License-Identifier: GPL-2.0-only
#
# Match a kernel log, a guest's error or a report in plain words with the signatures of
# the races; see scripts/explain, which runs this.
#
# Input: the files of signatures, then LOG=1, then the log (one stream).
# Variables: JSON=1 prints a JSON object; TOPDIR is the directory of patches/.
# Exit codes: 0 a race is named, 9 none is, 2 a file of signatures is wrong; awk's own
# errors are 1 and 2.
#
# The first signature of a race that fits an event counts, so that strict ones come first
# in a file.  Nothing here may need gawk: mawk has no intervals in expressions.
#
# kernel-log/ has the functions, in the order in which END calls them.

BEGIN {
	n = split("Verdict Kind Alone Rip Address Kernel Is But Part Source", key_list, " ")
	for (i = 1; i <= n; i++) known_key[key_list[i]] = "one"
	n = split("Calls Calls-not Text Text-not", key_list, " ")
	for (i = 1; i <= n; i++) known_key[key_list[i]] = "many"
	race_key["Avoid"] = 1
}

!LOG { read_signature($0); next }

{ raw[++nr_raw] = $0 }

END {
	if (wrong)
		exit 2
	for (s = 1; s <= nr_sigs; s++) {
		if (field[s, "Verdict"] !~ /^(sure|likely|possible|other)$/)
			fail("signature " field[s, "Signature"] ": its Verdict is none")
		if (field[s, "Is"] == "" || field[s, "Source"] == "")
			fail("signature " field[s, "Signature"] ": lacks Is or Source")
	}
	in_order()
	by_caller()
	unwrap()
	find_events()
	judge()
	if (JSON)
		print_json()
	else
		print_text()
	exit named ? 0 : 9
}
