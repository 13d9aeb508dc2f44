# SPDX-License-Identifier: GPL-2.0-only
#
# Read the files of signatures; part of explain.awk.
#
# The fields of signature number S are field[S, KEY], its race is sig_race[S]. of_race[RACE, KEY]
# has the fields of a race. A key that may stand more than once has its values with SUBSEP between.

function fail(text)
{
	print "explain: error: " text >"/dev/stderr"
	wrong = 1
	exit 2
}

# add_field(KEY, VALUE) - add a field to the signature that is being read
function add_field(key, value)
{
	if (!(key in known_key))
		fail(FILENAME ":" FNR ": unknown field '" key "'")
	if ((nr_sigs, key) in field) {
		if (known_key[key] != "many")
			fail(FILENAME ":" FNR ": a second '" key "'")
		field[nr_sigs, key] = field[nr_sigs, key] SUBSEP value
	} else {
		field[nr_sigs, key] = value
	}
}

# read_signature(LINE) - read a line of a file of signatures
function read_signature(line,   key, value)
{
	if (line ~ /^#/)
		return
	if (line ~ /^[ \t]*$/) {
		last_key = ""
		return
	}
	if (line ~ /^[ \t]/) {
		if (last_key == "")
			fail(FILENAME ":" FNR ": continues nothing")
		sub(/^[ \t]+/, "", line)
		if (last_key in race_key)
			of_race[race, last_key] = of_race[race, last_key] " " line
		else
			field[nr_sigs, last_key] = field[nr_sigs, last_key] " " line
		return
	}
	if (line !~ /^[A-Z][a-z-]*: ./)
		fail(FILENAME ":" FNR ": not 'Key: value'")
	key = value = line
	sub(/:.*/, "", key)
	sub(/^[^:]*: +/, "", value)
	last_key = key
	if (key == "Race") {
		race = value
		races[++nr_races] = race
	} else if (key in race_key) {
		of_race[race, key] = value
	} else if (key == "Signature") {
		field[++nr_sigs, "Signature"] = value
		sig_race[nr_sigs] = race
	} else {
		if (!nr_sigs)
			fail(FILENAME ":" FNR ": '" key "' before the first Signature")
		add_field(key, value)
	}
}
