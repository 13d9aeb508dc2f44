# shellcheck shell=bash
# shellcheck disable=SC2034 # for scripts that source this
# SPDX-License-Identifier: GPL-2.0-only
#
# Run commands of a case and report errors, in the emulated host of scripts/debian-host. Shared by
# the cases of load, demo and install. /payload/modules has the set, with tinyvm.

LOG=/tmp/case.log

# fail TEXT - record an error of the case
fail()
{
	problems+="    $*"$'\n'
}

# run COMMAND... - run it; set $status, and put the output into $LOG
run()
{
	status=0
	echo "\$ $*" >>$LOG
	"$@" >>$LOG 2>&1 </dev/null || status=$?
	echo "[$status]" >>$LOG
}

# expect STATUS [TEXT...] - check the last run; each TEXT must be in its output
expect()
{
	local text

	[ "$status" = "$1" ] || fail "exit code $status instead of $1"
	shift
	for text; do
		grep -qF -- "$text" $LOG || fail "the log lacks: $text"
	done
}

# judged NAME BEGIN - print the verdict on the case, which began when $SECONDS was BEGIN; fail if it
# failed
judged()
{
	local code=0

	if [ -z "$problems" ]; then
		echo "ok - $1"
	else
		code=1
		printf 'not ok - %s\n%s' "$1" "$problems"
		sed 's/^/    | /' $LOG
	fi
	echo "# $((SECONDS - $2)) s"
	return $code
}

# a_copy - make a copy of the set, to break it
a_copy()
{
	rm -rf /tmp/set
	cp -r /payload/modules /tmp/set
}
