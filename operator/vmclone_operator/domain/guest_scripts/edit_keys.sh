# Edits a user's authorized_keys. Started as root, behind a script that sets `user`, `input` and `filter`: functions that
# say of a line whether it stays, and what is added; and `formers`, users in whose files `former_input` is done. What
# it does in the home it does as the user, whose links and races lead nowhere new.
look_up() {
  home=''
  while IFS=: read -r name _ uid gid _ directory _; do
    [ "$name" != "$1" ] || { home=$directory && break; }
  done </etc/passwd
  [ -n "$home" ]
}
look_up "$user" || refuse "the guest has no user $user"
# Where nothing can become the user, root runs this with an owner for what it makes: then every name is used below
# a folder that was entered and checked, and files are read and written in one that the user cannot write.
edit=$filter'
set -C
refuse() {
  echo "$1" >&2
  exit 64
}
owner=$2 made=""
cd -P "$1" || refuse "$1 cannot be entered"
here=$(pwd -P)
[ ! -L .ssh ] || refuse "$here/.ssh is a link"
[ ! -L .ssh/authorized_keys ] || refuse "$here/.ssh/authorized_keys is a link"
if adds_nothing && [ ! -e .ssh/authorized_keys ]; then
  exit 0
fi
if [ ! -d .ssh ]; then
  mkdir .ssh || refuse "$here/.ssh cannot be made"
  made=yes
fi
cd -P ./.ssh || refuse "$here/.ssh cannot be entered"
[ "$(pwd -P)" = "$here/.ssh" ] || refuse "$here/.ssh is a link"
[ -z "$made" ] || [ -z "$owner" ] || chown "$owner" .
rm -rf .vmclone-keys
mkdir .vmclone-keys && cd -P ./.vmclone-keys && [ -O . ] || refuse "$here/.ssh/.vmclone-keys cannot be made"
[ "$(pwd -P)" = "$here/.ssh/.vmclone-keys" ] || refuse "$here/.ssh/.vmclone-keys is a link"
old=../authorized_keys
if [ -n "$owner" ] && [ -e "$old" ]; then
  ln "$old" old || refuse "$here/.ssh/authorized_keys cannot be held"
  old=old
fi
if [ -L "$old" ] || [ -e "$old" ]; then
  [ ! -L "$old" ] && [ -f "$old" ] && [ -r "$old" ] || refuse "$here/.ssh/authorized_keys is no file to be read"
else
  old=/dev/null
fi
{
  while IFS= read -r kept || [ -n "$kept" ]; do
    ! stays "$kept" || printf "%s\n" "$kept" || refuse "$here/.ssh cannot be written"
  done <"$old"
  added
} >new || refuse "$here/.ssh cannot be written"
[ -z "$owner" ] || chown "$owner" new
mv -fT new ../authorized_keys || refuse "$here/.ssh/authorized_keys cannot be written"
cd -P .. && rm -rf .vmclone-keys
'
edit_keys() {
  owner=''
  set -- setpriv --reuid="$uid" --regid="$gid" --clear-groups
  "$@" true 2>/dev/null || set -- runuser -u "$name" --
  "$@" true 2>/dev/null || { set -- env && owner=$uid:$gid; }
  printf '%s\n' "$input" | "$@" sh -c "$edit" edit-keys "$home" "$owner" || exit
  if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then
    restorecon -R "$home/.ssh" >/dev/null 2>&1 || :
  fi
}
edit_keys
input=$former_input
for former in $formers; do
  ! look_up "$former" || edit_keys
done
