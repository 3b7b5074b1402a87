#!/bin/sh
# Ask a local edge-runtime server what somebody wants:
#
#     ask.sh /run/edge-runtime/edge.sock "turn off the kitchen lights"
#
# Needs nc (Debian's netcat-openbsd) or socat; CONNECT=socat takes the latter. Prints the intent and its slots.
# Status 1: the server cannot be reached, or refused.
set -eu

socket=$1 text=$2

# A JSON string: backslashes and quotes escaped, control characters (which no text needs) as spaces.
quoted=$(printf '%s' "$text" | tr '\001-\037\177' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g')
request=$(printf '{"id":1,"op":"understand","text":"%s"}' "$quoted")

case ${CONNECT:-nc} in
    # -N: we send no more; the server still answers, and then ends the connection
    nc) reply=$(printf '%s\n' "$request" | nc -N -U "$socket") || reply= ;;
    # -t 10: wait up to 10 s for the answer after we have sent everything
    socat) reply=$(printf '%s\n' "$request" | socat -t 10 - "UNIX-CONNECT:$socket") || reply= ;;
    *) echo "CONNECT must be nc or socat" >&2; exit 2 ;;
esac

# A string field of the reply, at its first place: sed is no JSON reader, but these replies are flat enough.
field() { printf '%s\n' "$reply" | sed -n 's/.*"'"$1"'": *"\(\([^"\\]\|\\.\)*\)".*/\1/p' | unescaped; }
unescaped() { sed 's/\\\(["\\/]\)/\1/g'; }

case $reply in
    '') echo "no answer from $socket" >&2; exit 1 ;;
    *'"error":'*) echo "error $(field code): $(field message)" >&2; exit 1 ;;
    *'"intent":null'*) echo "not recognised"; exit 0 ;;
esac
field intent
# the slots one by one, each as its type and its text
printf '%s\n' "$reply" | grep -o '{"type": *"[^"]*", *"text": *"\([^"\\]\|\\.\)*"' |
    sed 's/{"type": *"\([^"]*\)", *"text": *"\(.*\)"/  \1: \2/' | unescaped
