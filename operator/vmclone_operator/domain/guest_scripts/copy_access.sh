# Lets the key of one home copy into a user's home, or takes every such key out again. Other lines stay as they
# are. edit_keys.sh follows it.
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
input=$line formers='' former_input=''
filter='
IFS= read -r line || :
adds_nothing() { [ -z "$line" ]; }
stays() {
  case $1 in *" vmclone-home-copy-"*) return 1 ;; esac
}
added() { [ -z "$line" ] || printf "%s\n" "$line"; }
'
