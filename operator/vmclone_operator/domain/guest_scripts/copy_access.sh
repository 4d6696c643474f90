# Lets the key of one home copy into a user's home, or takes every such key out again. Other lines stay as they
# are. Started as root; what it does in the home it does as the user, whose links and races lead nowhere new.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 077
user='' line='' complete='' unless='' copied=''
marker=/var/lib/vmclone/home-copied
refuse() {
  echo "$1" >&2
  exit 64
}
while IFS= read -r word; do
  case $word in
    user=*) user=${word#*=} ;;
    line=*) line=${word#*=} ;;
    unless=*) unless=${word#*=} ;;
    copied=*) copied=${word#*=} ;;
    end=1) complete=yes ;;
  esac
done
if [ -z "$complete" ] || [ -z "$user" ]; then
  refuse "the parameters did not arrive complete"
fi
if [ -n "$unless" ] && [ -r "$marker" ]; then
  IFS= read -r told <"$marker" || :
  [ "$told" != "$unless" ] || exit 66
fi
if [ -n "$copied" ]; then
  mkdir -p "${marker%/*}"
  printf '%s\n' "$copied" >"$marker" || refuse "$marker cannot be written"
fi
home=''
while IFS=: read -r name _ uid gid _ directory _; do
  [ "$name" != "$user" ] || { home=$directory && break; }
done </etc/passwd
[ -n "$home" ] || refuse "the guest has no user $user"
# Where nothing can become the user, root runs this with an owner for what it makes: then every name is used below
# a folder that was entered and checked, and files are read and written in one that the user cannot write.
edit='
set -C
refuse() {
  echo "$1" >&2
  exit 64
}
owner=$2 made=""
IFS= read -r line || :
cd -P "$1" || refuse "$1 cannot be entered"
here=$(pwd -P)
[ ! -L .ssh ] || refuse "$here/.ssh is a link"
[ ! -L .ssh/authorized_keys ] || refuse "$here/.ssh/authorized_keys is a link"
if [ -z "$line" ] && [ ! -e .ssh/authorized_keys ]; then
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
    case $kept in
      *" vmclone-home-copy-"*) ;;
      *) printf "%s\n" "$kept" || refuse "$here/.ssh cannot be written" ;;
    esac
  done <"$old"
  [ -z "$line" ] || printf "%s\n" "$line"
} >new || refuse "$here/.ssh cannot be written"
[ -z "$owner" ] || chown "$owner" new
mv -fT new ../authorized_keys || refuse "$here/.ssh/authorized_keys cannot be written"
cd -P .. && rm -rf .vmclone-keys
'
owner=''
set -- setpriv --reuid="$uid" --regid="$gid" --clear-groups
"$@" true 2>/dev/null || set -- runuser -u "$user" --
"$@" true 2>/dev/null || { set -- env && owner=$uid:$gid; }
printf '%s\n' "$line" | "$@" sh -c "$edit" copy-access "$home" "$owner" || exit
if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then
  restorecon -R "$home/.ssh" >/dev/null 2>&1 || :
fi
