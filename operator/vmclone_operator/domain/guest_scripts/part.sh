# Keeps a part of a command that is too long for the guest channel, and with the last one runs the command. Its input
# is a line that names the part, and the part. Parts of one command are told from others' by the command's digest.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 077
IFS=' ' read -r digest kind number scripts inputs
folder=/run/vmclone/parts/$digest
mkdir -p "$folder" || exit 64
cat >"$folder/$kind.$number.new" && mv -f "$folder/$kind.$number.new" "$folder/$kind.$number" || exit 64
[ "$kind.$number" = "input.$inputs" ] || exit 0

join() {
  at=1
  while [ "$at" -le "$2" ]; do
    cat "$folder/$1.$at" || return
    at=$((at + 1))
  done | base64 -d | gzip -dc >"$folder/$1"
}

if ! join script "$scripts" || ! join input "$inputs" || [ ! -s "$folder/script" ]; then
  echo "a part of the command did not arrive" >&2
  exit 64
fi
exec /bin/sh "$folder/script" <"$folder/input"
