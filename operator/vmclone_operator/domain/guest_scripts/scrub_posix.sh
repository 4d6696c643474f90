# The scrub for a guest without python3: names, doubtful names and the main key shapes, with find and grep.
# Reads the program's parameters and answers in its form. Calls itself from find, so that no name has to survive in
# a list. Doubtful names go unless they show something public and nothing private: git is not asked here.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 077
root=${VMCLONE_ROOT:-}
self=$0
private='BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)? ?-----([[:space:]]*$|\\n)'
public='BEGIN (CERTIFICATE|TRUSTED CERT|X509|NEW CERT|([A-Z0-9]+ )?PUBLIC KEY|DH PARAM|EC PARAM|PKCS7|CMS|PGP (PUBLIC|SIGN))'
shapes="$private|PuTTY-User-Key-File-[0-9]+:|AGE-SECRET-KEY-1|A[KS]IA[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20}|github_pat_"
shapes="$shapes|glpat-[A-Za-z0-9_-]{16}|xox[abeoprs]-[A-Za-z0-9-]{10}|ya29\\.[A-Za-z0-9_-]{16}"
shapes="$shapes|(AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{20}|AIza[A-Za-z0-9_-]{35}|npm_[A-Za-z0-9]{36}"
shapes="$shapes|_authToken[[:space:]]?=[[:space:]]?[A-Za-z0-9-]{16}|pypi-Ag[A-Za-z0-9_-]{20}|[rs]k_live_[A-Za-z0-9]{16}"
shapes="$shapes|hvs\\.[A-Za-z0-9_-]{20}|(secret_access_key|SECRET_ACCESS_KEY|SecretAccessKey)[\"']?[[:space:]]*[=:]"
shapes="$shapes|://[^]/:@\"'<>\`(){}[:space:]\$%*|\\,]{0,64}:[^]/:@\"'<>\`(){}[:space:]\$%*|\\,]{3,}@[A-Za-z0-9]"
harmless=':(pass|passwd|password|pwd|pw|secret|token|x+|port)@'

# --- what find calls ---------------------------------------------------------------------------------------
# Files are overwritten and synced, then everything is unlinked; the second look only counts.
erase() {
  for path; do
    if [ -L "$path" ] || [ ! -f "$path" ]; then
      erase_trees "$@"
      return
    fi
  done
  if [ -n "$VMCLONE_LOOK" ]; then
    for path; do echo left; done >>"$VMCLONE_WORK/left"
  else
    for path; do echo gone; done >>"$VMCLONE_WORK/gone"
    overwrite "$@"
    rm -f -- "$@"
  fi
}

erase_trees() {
  if [ -n "$VMCLONE_LOOK" ]; then
    find "$@" -xdev ! -type d -exec sh -c 'for file; do echo left; done' sh {} + >>"$VMCLONE_WORK/left"
  else
    find "$@" -xdev -type f -exec sh "$self" overwrite {} + -exec sh -c 'for file; do echo gone; done' sh {} + \
      >>"$VMCLONE_WORK/gone"
    rm -rf -- "$@"
  fi
}

overwrite() {
  if command -v shred >/dev/null; then
    shred -n 0 -z -f -- "$@"
    return
  fi
  for file; do
    dd if=/dev/zero of="$file" bs=4096 count=$((($(wc -c <"$file") + 4095) / 4096)) conv=notrunc,fsync 2>/dev/null
  done
}

# A whole batch is searched at once; a name of several lines hides from the list, then each file is asked.
by_content() {
  grep -lE -e "$shapes" -- "$@" 2>/dev/null | while IFS= read -r file; do
    [ ! -f "$file" ] || ! has_shape "$file" || erase "$file"
  done
  [ -z "$VMCLONE_SEVERAL_LINES" ] || for file; do
    ! has_shape "$file" || erase "$file"
  done
}

has_shape() {
  grep -E -e "$shapes" -- "$1" 2>/dev/null | grep -qvE -e "$harmless"
}

doubtful() {
  for file; do
    if ! grep -qE -e "$public" -- "$file" 2>/dev/null || grep -qE -e "$private" -- "$file"; then
      erase "$file"
    fi
  done
}

case $1 in
  erase | overwrite | by_content | doubtful)
    "$@"
    exit
    ;;
esac

# --- parameters ------------------------------------------------------------------------------------------
VMCLONE_WORK=$(mktemp -d "${TMPDIR:-/run}/vmclone-scrub.XXXXXX") || exit 1
VMCLONE_LOOK='' VMCLONE_SEVERAL_LINES=''
export VMCLONE_WORK VMCLONE_LOOK VMCLONE_SEVERAL_LINES
trap 'rm -rf "$VMCLONE_WORK"' EXIT
trap 'exit 1' TERM INT HUP
nl='
'
: >"$VMCLONE_WORK/homes"
: >"$VMCLONE_WORK/unverified"
while IFS= read -r line; do
  case $line in
    scrub_posix=*) printf '%s\n' "${line#*=}" ;;
    scrub_path=*'/**'*) line=${line#*=} && printf 'below=%s?%s\n' "${line%%/\*\**}" "${line##*/}" ;;
    scrub_path=*) printf 'place=%s\n' "${line#*=}" ;;
    scrub_allow=*) printf 'allow=%s\n' "${line#*=}" ;;
  esac
done >"$VMCLONE_WORK/rules"

# --- whose homes -----------------------------------------------------------------------------------------
is_shared() {
  case $1 in
    nfs | nfs4 | cifs | smb3 | smbfs | 9p | virtiofs | ceph | glusterfs | afs | lustre | autofs | fuse*) return 0 ;;
  esac
  return 1
}

filesystem_of() {
  kind='' longest=
  while read -r _ mount type _; do
    case $1/ in
      "${mount%/}/"*) [ ${#mount} -lt ${#longest} ] || longest=$mount kind=$type ;;
    esac
  done </proc/mounts
}

add_home() {
  case $1 in
    / | /bin* | /sbin* | /usr* | /lib* | /dev* | /proc* | /sys* | /run* | /boot* | /etc* | /home | /srv | /opt) return ;;
    /mnt | /media | /tmp | /nonexistent | /var | /var/lib | /var/cache | /var/spool | /var/log | /var/mail) return ;;
    /var/run* | /var/tmp | /var/www | /var/empty | /var/backups) return ;;
    /*) ;;
    *) return ;;
  esac
  filesystem_of "$root$1"
  if is_shared "$kind"; then
    printf '%s\n' "$kind" >>"$VMCLONE_WORK/unverified"
  elif [ -d "$root$1/" ]; then
    (cd -P "$root$1" && pwd -P) >>"$VMCLONE_WORK/homes"
    case $kind in
      btrfs | zfs | bcachefs | nilfs2 | f2fs | overlay | aufs) printf '%s\n' "$kind" >>"$VMCLONE_WORK/unverified" ;;
    esac
  fi
}

find_homes() {
  add_home /root
  while IFS=: read -r _ _ uid _ _ home shell; do
    case $uid in '' | *[!0-9]*) continue ;; esac
    case ${shell##*/} in
      nologin | false | sync | halt | shutdown | '') [ "$uid" -ge 1000 ] || continue ;;
    esac
    add_home "$home"
  done <"$root/etc/passwd"
  for folder in "$root"/home/*; do
    [ ! -d "$folder" ] || add_home "${folder#"$root"}"
  done
  # find stays on one file system: local ones inside a home are homes of their own.
  while read -r _ mount type _; do
    while IFS= read -r home; do
      case $mount in
        "$home"/*)
          if is_shared "$type"; then
            printf '%s\n' "$type" >>"$VMCLONE_WORK/unverified"
          else
            printf '%s\n' "$mount"
          fi
          ;;
      esac
    done <"$VMCLONE_WORK/homes" >>"$VMCLONE_WORK/homes.inner"
  done </proc/mounts
  sort -u "$VMCLONE_WORK/homes" "$VMCLONE_WORK/homes.inner" >"$VMCLONE_WORK/homes.all"
}

# --- what goes -------------------------------------------------------------------------------------------
each_home() {
  while IFS= read -r home; do
    "$@"
  done <"$VMCLONE_WORK/homes.all"
}

# Appends `-o TEST` for every rule of a kind to find's words, which the caller gives and which end up in "$@";
# POSIX shells have one list only, so this is done by each search itself.
search_names() {
  set -- "$home" -xdev '(' -path '*/.git/objects' -o -path '*/.git/refs' -o -path '*/.git/logs'
  while IFS= read -r rule; do
    case $rule in allow=*) set -- "$@" -o -ipath "*/${rule#allow=}" ;; esac
  done <"$VMCLONE_WORK/rules"
  set -- "$@" ')' -prune -o ! -path "$home" '(' -name ''
  while IFS= read -r rule; do
    case $rule in
      folder=*) set -- "$@" -o '(' '(' -type d -o -type l ')' -ipath "*/${rule#*=}" ')' ;;
      name=*/*) set -- "$@" -o -ipath "*/${rule#*=}" ;;
      name=*) set -- "$@" -o -iname "${rule#*=}" ;;
    esac
  done <"$VMCLONE_WORK/rules"
  set -- "$@" ')'
  while IFS= read -r rule; do
    case $rule in except=*) set -- "$@" ! -iname "${rule#*=}" ;; esac
  done <"$VMCLONE_WORK/rules"
  find "$@" -prune -exec sh "$self" erase {} +
}

search_texts() {
  set -- "$home" -xdev -type f -size -2049 ! -path '*/.git/*'
  while IFS= read -r rule; do
    case $rule in allow=*) set -- "$@" ! -ipath "*/${rule#allow=}" ! -ipath "*/${rule#allow=}*" ;; esac
  done <"$VMCLONE_WORK/rules"
  find "$@" ! -path "*$nl*" -exec sh "$self" by_content {} +
  VMCLONE_SEVERAL_LINES=yes find "$@" -path "*$nl*" -exec sh "$self" by_content {} +
  for suffix in py pyi pyc js mjs cjs ts map; do
    set -- "$@" ! -path "*-packages/*.$suffix" ! -path "*/node_modules/*.$suffix"
  done
  set -- "$@" '(' -name ''
  while IFS= read -r rule; do
    case $rule in doubtful=*) set -- "$@" -o -iname "${rule#*=}" ;; esac
  done <"$VMCLONE_WORK/rules"
  find "$@" ')' -exec sh "$self" doubtful {} +
}

search_keys() {
  for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
    [ ! -e "$file" ] || erase "$file"
  done
}

# Keys that sshd reads outside of the homes.
search_keys_elsewhere() {
  for file in "$root"/etc/ssh/sshd_config "$root"/etc/ssh/sshd_config.d/*.conf; do
    [ -r "$file" ] || continue
    while read -r word words; do
      case $word in [Aa]uthorized[Kk]eys[Ff]ile) ;; *) continue ;; esac
      for words in $words; do
        case $words in
          /*%[uU]*) words="${words%%\%[uU]*}*${words##*\%[uU]}" ;;
          /*) ;;
          *) continue ;;
        esac
        search_place
      done
    done <"$file"
  done
}

# Without field splitting a pattern may hold blanks; names are still expanded.
search_places() {
  while IFS= read -r rule; do
    words=${rule#*=}
    IFS=
    case $rule in
      place=*) search_place ;;
      below=*)
        for path in $root${words%%\?*}; do
          [ ! -d "$path" ] || find "$path" -xdev ! -type d -name "${words#*\?}" -exec sh "$self" erase {} +
        done
        ;;
      containing=*)
        for path in $root${words%%\?*}; do
          [ ! -f "$path" ] || ! grep -qE -e "${words#*\?}" -- "$path" || erase "$path"
        done
        ;;
      empty=*)
        for path in $root$words; do
          [ ! -s "$path" ] || [ -n "$VMCLONE_LOOK" ] || : >"$path"
        done
        ;;
    esac
    unset IFS
  done <"$VMCLONE_WORK/rules"
}

search_place() {
  for path in $root$words; do
    if [ -e "$path" ] || [ -L "$path" ]; then
      [ ! -L "$path" ] || [ ! -f "$path" ] || erase_target "$path"
      erase "$path"
    fi
  done
}

erase_target() {
  target=$(readlink -f "$1")
  case ${target#"$root"} in
    /usr/* | /bin/* | /sbin/* | /lib*) ;;
    *) erase "$target" ;;
  esac
}

search_all() {
  search_places
  each_home search_names
  each_home search_texts
  each_home search_keys
  search_keys_elsewhere
}

# --- passwords -------------------------------------------------------------------------------------------
# Not "!" for all: an sshd without PAM refuses such an account its keys too.
lock_passwords() {
  for file in "$root/etc/shadow" "$root/etc/gshadow"; do
    [ -f "$file" ] || continue
    rm -f "$file.vmclone" "$file.vmclone-old"
    cp -p "$file" "$file.vmclone"
    while IFS= read -r line; do
      rest=${line#*:}
      hash=${rest%%:*}
      case $hash in
        '') [ "$file" != "$root/etc/shadow" ] || line="${line%%:*}:*:${rest#*:}" ;;
        '!' | '!!' | '*' | '!*') ;;
        '!'*) line="${line%%:*}:!:${rest#*:}" ;;
        *) line="${line%%:*}:*:${rest#*:}" ;;
      esac
      printf '%s\n' "$line"
    done <"$file" >"$file.vmclone"
    ln "$file" "$file.vmclone-old"
    mv -f "$file.vmclone" "$file"
    erase "$file.vmclone-old"
  done
}

count() {
  number=0
  [ ! -f "$VMCLONE_WORK/$1" ] || while read -r _; do number=$((number + 1)); done <"$VMCLONE_WORK/$1"
}

find_homes
search_all
lock_passwords
count gone
files=$number
VMCLONE_LOOK=yes
search_all
count left
echo scrub_engine=posix
if [ "$number" = 0 ]; then echo scrub_state=done; else echo scrub_state=failed; fi
echo "scrub_files=$files"
echo "scrub_left=$number"
sort -u "$VMCLONE_WORK/unverified" | while IFS= read -r kind; do echo "scrub_unverified=$kind"; done
[ "$number" = 0 ] || echo "scrub_error=what should have gone is still there"
