# Gives this clone its own identity, as root, in a unit of its own, in a quarantined boot. It may be killed
# anywhere and then runs again from the beginning, so each step ends in the same state however often it runs.
# A process costs 0.1 s and up in an emulated guest: builtins first, one systemctl for all restarts.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 022
run=/run/vmclone/identity
lib=/var/lib/vmclone/identity
token='' hostname='' user='' keys='' before='' made='' finished='' scrub='' scope='' stops='' masks='' reboot='' keep=''

# --- records -------------------------------------------------------------------------------------------
record() {
  {
    echo "identity_token=$token"
    echo "identity_state=$1"
    [ -z "$2" ] || echo "identity_error=$2"
    [ ! -r "$lib/previous" ] || while IFS= read -r line; do
      case $line in token=*) ;; *) echo "$line" ;; esac
    done <"$lib/previous"
    [ -z "$made" ] || echo "made_ssh_host_key=$made"
    [ -z "$scrub" ] || scrub_answers
    if [ -n "$reboot" ] || [ -e /etc/vmclone/needs-reboot ]; then
      first_line /proc/sys/kernel/random/boot_id
      echo "reboot_from=$value"
    fi
  } >"$lib/result.new"
  sync
  mv -f "$lib/result.new" "$lib/result"
  finished=yes
}

fail() {
  record failed "$1"
  exit 1
}

unexpected_end() {
  [ -n "$finished" ] || record failed "the identity reset ended before it was done"
}

first_line() {
  value=
  [ ! -r "$1" ] || IFS= read -r value <"$1" || :
}

active() {
  [ -d "/sys/fs/cgroup/system.slice/$1" ] || [ -d "/sys/fs/cgroup/systemd/system.slice/$1" ]
}

read_parameters() {
  while IFS= read -r line; do
    case $line in
      token=*) token=${line#*=} ;;
      hostname=*) hostname=${line#*=} ;;
      user=*) user=${line#*=} ;;
      key=*) keys="$keys${line#*=}
" ;;
      scrub=*) scrub=${line#*=} ;;
      scrub_scope=*) scope=${line#*=} ;;
      scrub_stop=*) stops="$stops ${line#*=}" ;;
      scrub_mask=*) masks="$masks ${line#*=}" ;;
      needs_reboot=1) reboot=yes ;;
      keep_host_key=1) keep=yes ;;
    esac
  done <"$run/asked"
}

# The first attempt of a token sees the source's values; a repeat sees half of ours and keeps what is there.
save_previous() {
  first_line "$lib/previous"
  [ "$value" != "token=$token" ] || return 0
  first_line /etc/machine-id
  before=$value
  vm_own_id
  {
    echo "token=$token"
    # A source with an empty machine-id: this boot already took the VM's own.
    [ "$before" = "$own" ] || echo "previous_machine_id=$before"
    for file in /etc/ssh/ssh_host_*_key.pub; do
      [ -z "$keep" ] && [ -r "$file" ] && read -r kind key _ <"$file" && echo "previous_ssh_host_key=$kind $key"
    done
  } >"$lib/previous.new"
  mv -f "$lib/previous.new" "$lib/previous"
}

# The id that systemd derives from the hypervisor's UUID of this VM: 32 hex digits without the dashes.
vm_own_id() {
  own=
  first_line /sys/class/dmi/id/product_uuid
  rest=$value-
  while [ -n "$rest" ]; do
    own=$own${rest%%-*}
    rest=${rest#*-}
  done
}

# --- the scrub -----------------------------------------------------------------------------------------
# What it could tell so far; without a result it did not end.
scrub_answers() {
  echo "scrub_request=$scrub"
  echo "scrub_scope=$scope"
  masked=0
  for unit in $masks; do
    [ ! -L "/etc/systemd/system/$unit" ] || masked=$((masked + 1))
  done
  echo "scrub_units=$masked"
  [ ! -e "$run/discarded" ] || echo scrub_discarded=yes
  if [ -s "$run/scrubbed" ]; then
    while IFS= read -r line; do echo "$line"; done <"$run/scrubbed"
  else
    echo scrub_state=failed
  fi
}

# Units that would write back what is scrubbed, or go on with it once the link is up. Patterns match loaded units.
stop_units() {
  set -f
  mask_units
  [ -z "$stops" ] || timeout 60 systemctl stop $stops >/dev/null 2>&1
  set +f
  for link in /sys/class/net/*; do
    ! grep -q '^DEVTYPE=wireguard' "$link/uevent" || ip link delete dev "${link##*/}"
  done 2>/dev/null
}

# systemctl refuses to mask a unit whose file lies in /etc itself, as a CI runner's does.
mask_units() {
  [ -n "$masks" ] || return 0
  mkdir -p "$lib/masked"
  for unit in $masks; do
    file=/etc/systemd/system/$unit
    [ -L "$file" ] || [ ! -e "$file" ] || mv -f "$file" "$lib/masked/$unit"
    ln -sfn /dev/null "$file" || fail "$unit cannot be masked"
  done
  timeout 60 systemctl stop $masks >/dev/null 2>&1 || systemctl kill -s KILL $masks >/dev/null 2>&1
}

# The program travels in one line of the parameters and reads the others; 90 says that it cannot run here.
scrub_disk() {
  [ -n "$scrub" ] || return 0
  rm -f "$run/scrubbed" "$run/discarded"
  stop_units
  code=90
  if command -v python3 >/dev/null; then
    python3 -I -S -c "
import sys
try:
    import base64, zlib
    lines = [line.rstrip('\n') for line in sys.stdin]
    packed = [line for line in lines if line.startswith('scrub_program=')][0]
    exec(zlib.decompress(base64.b64decode(packed.partition('=')[2]), 31))
except ImportError:
    sys.exit(90)
" <"$run/parameters" >"$run/scrubbed.new" 2>"$run/scrub.log"
    code=$?
  fi
  if [ "$code" = 90 ]; then
    /bin/sh "$run/scrub_posix" <"$run/parameters" >"$run/scrubbed.new" 2>"$run/scrub.log"
    code=$?
  fi
  if [ "$code" != 0 ]; then
    while IFS= read -r line; do last=$line; done <"$run/scrub.log"
    fail "the scrub ended with $code: $last"
  fi
  mv -f "$run/scrubbed.new" "$run/scrubbed"
  grep -q '^scrub_state=done$' "$run/scrubbed" || fail "the scrub failed: $(grep '^scrub_error=' "$run/scrubbed")"
  # Made from what is secret now; services refuse to start without it.
  if [ -e /etc/ssl/certs/ssl-cert-snakeoil.pem ] && [ ! -e /etc/ssl/private/ssl-cert-snakeoil.key ]; then
    ! command -v make-ssl-cert >/dev/null || make-ssl-cert generate-default-snakeoil --force-overwrite >/dev/null 2>&1
  fi
}

# Those that answer for accounts and files run on without what was their machine's; nobody waits for them.
start_again() {
  [ -n "$scrub" ] || return 0
  set --
  for unit in sssd.service winbind.service smbd.service; do
    [ ! -e "/etc/systemd/system/multi-user.target.wants/$unit" ] || set -- "$@" "$unit"
  done
  [ $# = 0 ] || systemctl start --no-block "$@"
}

# Last: the identity unlinks things, too. Without discards in the disk nothing is printed.
discard_freed() {
  [ -n "$scrub" ] || return 0
  while read -r swap _ _ _ priority; do
    case $swap in
      Filename | /dev/zram*) continue ;;
    esac
    case $priority in -*) priority= ;; esac
    ! swapoff "$swap" || swapon --discard=once ${priority:+-p "$priority"} "$swap" || swapon "$swap"
  done </proc/swaps 2>/dev/null
  sync
  trimmed=$(timeout 300 fstrim -av 2>/dev/null) || :
  [ -z "$trimmed" ] || : >"$run/discarded"
}

# --- the values ----------------------------------------------------------------------------------------
# Truncated, never removed: without the file some distributions do not boot. D-Bus's own copy comes first
# because systemd-machine-id-setup would take the old id back from it.
new_machine_id() {
  if [ -d /var/lib/dbus ] && [ ! -L /var/lib/dbus/machine-id ]; then
    rm -f /var/lib/dbus/machine-id
    ln -s /etc/machine-id /var/lib/dbus/machine-id
  fi
  : >/etc/machine-id || fail "/etc/machine-id cannot be written"
  systemd-machine-id-setup >/dev/null 2>&1 || fail "systemd-machine-id-setup failed"
  first_line /etc/machine-id
  [ "${#value}" = 32 ] || fail "systemd-machine-id-setup left no machine-id"
  machine_id=$value
}

# What block storage knows this machine by. The VM's own id makes them, so that a repeat makes the same.
new_storage_names() {
  vm_own_id
  [ "${#own}" = 32 ] || own=$machine_id
  if [ -e /etc/iscsi/initiatorname.iscsi ]; then
    prefix=iqn.1993-08.org.debian:01
    while IFS= read -r line; do
      case $line in InitiatorName=iqn.*:*) prefix=${line#*=} && prefix=${prefix%:*} ;; esac
    done </etc/iscsi/initiatorname.iscsi
    echo "InitiatorName=$prefix:${own#????????????????????}" >/etc/iscsi/initiatorname.iscsi
  fi
  rest=${own#????????}
  uuid=${own%"$rest"}
  for _ in 1 2 3; do
    last=${rest#????}
    uuid=$uuid-${rest%"$last"}
    rest=$last
  done
  uuid=$uuid-$rest
  [ ! -e /etc/nvme/hostnqn ] || echo "nqn.2014-08.org.nvmexpress:uuid:$uuid" >/etc/nvme/hostnqn
  [ ! -e /etc/nvme/hostid ] || echo "$uuid" >/etc/nvme/hostid
}

new_hostname() {
  echo "$hostname" >/etc/hostname
  echo "$hostname" >/proc/sys/kernel/hostname || fail "the kernel refused the hostname"
  if [ -f /etc/hosts ]; then
    named=
    while IFS= read -r line || [ -n "$line" ]; do
      case $line in
        127.0.1.1[[:space:]]*)
          [ -n "$named" ] || echo "127.0.1.1 $hostname"
          named=yes
          ;;
        *) printf '%s\n' "$line" ;;
      esac
    done </etc/hosts >/etc/hosts.vmclone
    grep -q '^127\.0\.1\.1' /etc/hosts.vmclone || echo "127.0.1.1 $hostname" >>/etc/hosts.vmclone
    mv -f /etc/hosts.vmclone /etc/hosts
  fi
}

# Before any key is made. Writing credits no entropy, it only makes equal pools differ.
fresh_randomness() {
  first_line /sys/class/dmi/id/product_uuid
  printf '%s' "$token$value" >/dev/urandom
  if [ -e /var/lib/systemd/random-seed ]; then
    head -c 512 /dev/urandom >/var/lib/systemd/random-seed
  fi
  rm -f /boot/loader/random-seed /boot/efi/loader/random-seed /efi/loader/random-seed
}

# One ed25519 key: all kinds cost 10 s in an emulated guest. A configuration that names its keys gets one
# where it looks for it, else sshd would start without any.
new_host_key() {
  [ -x /usr/sbin/sshd ] || return 0
  if [ -n "$keep" ]; then
    keep_host_key
    return 0
  fi
  named='' target=''
  for file in /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf; do
    [ -r "$file" ] || continue
    while read -r word path _; do
      case $word in
        [Hh][Oo][Ss][Tt][Kk][Ee][Yy])
          named=$path
          case $path in *ed25519*) target=$path ;; esac
          rm -f "$path" "$path.pub"
          ;;
      esac
    done <"$file"
  done
  target=${target:-${named:-/etc/ssh/ssh_host_ed25519_key}}
  rm -f /etc/ssh/ssh_host_*
  ssh-keygen -q -t ed25519 -N '' -C "root@$hostname" -f "$target" </dev/null || fail "ssh-keygen failed"
  read -r kind key _ <"$target.pub"
  made="$kind $key"
}

# cloud-init put ours there; what the image brought beside it would be every clone's.
keep_host_key() {
  for file in /etc/ssh/ssh_host_*; do
    case $file in */ssh_host_ed25519_key | */ssh_host_ed25519_key.pub) ;; *) rm -f "$file" ;; esac
  done
  if [ -r /etc/ssh/ssh_host_ed25519_key.pub ]; then
    read -r kind key _ </etc/ssh/ssh_host_ed25519_key.pub
    made="$kind $key"
  fi
}

forget_network() {
  for unit in systemd-networkd.service NetworkManager.service; do
    # A daemon that holds a lease would write it back when it ends.
    if active "$unit" && [ -n "$(ls /run/systemd/netif/leases /var/lib/NetworkManager/*.lease 2>/dev/null)" ]; then
      systemctl stop "$unit"
    fi
  done
  rm -rf /var/lib/systemd/network/* /run/systemd/netif/leases/* /var/lib/dhcp/*.lease* /var/lib/dhclient/* \
    /var/lib/dhcpcd/*.lease* /var/lib/dhcpcd/duid /var/lib/dhcpcd/secret /etc/dhcpcd.duid /etc/dhcpcd.secret \
    /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key /var/lib/NetworkManager/timestamps \
    /etc/udev/rules.d/70-persistent-net.rules
  for file in /etc/sysconfig/network-scripts/ifcfg-* /etc/NetworkManager/system-connections/*.nmconnection; do
    [ ! -f "$file" ] || sed -i -e '/^HWADDR=/d' -e '/^mac-address=/d' "$file"
  done
}

# The instance of this boot is the clone's own (its seed is ours); every other one is the source's.
forget_cloud_init() {
  [ -d /var/lib/cloud/instances ] || return 0
  current=$(readlink -f /var/lib/cloud/instance) || current=
  for instance in /var/lib/cloud/instances/*; do
    [ "$instance" = "$current" ] || rm -rf "$instance"
  done
  rm -f /var/lib/cloud/data/previous-*
}

# Replaces: nobody whom the source let in gets into the clone. Renaming never follows a link of the user's.
install_keys() {
  [ -n "$keys" ] || return 0
  home=''
  while IFS=: read -r name _ uid gid _ directory _; do
    [ "$name" != "$user" ] || { home=$directory && break; }
  done </etc/passwd
  [ -n "$home" ] || fail "the guest has no user $user"
  [ ! -L "$home/.ssh" ] || rm -f "$home/.ssh"
  if ! mkdir -p "$home/.ssh" || ! chmod 0700 "$home/.ssh"; then
    fail "$home/.ssh cannot be made"
  fi
  rm -f "$home/.ssh/authorized_keys.vmclone" "$home/.ssh/authorized_keys2"
  (umask 077 && printf '%s' "$keys" >"$home/.ssh/authorized_keys.vmclone") || fail "$home/.ssh cannot be written"
  chown -h "$uid:$gid" "$home/.ssh" "$home/.ssh/authorized_keys.vmclone"
  mv -f "$home/.ssh/authorized_keys.vmclone" "$home/.ssh/authorized_keys"
}

label_files() {
  [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null || return 0
  restorecon -R /etc/machine-id /etc/hostname /etc/hosts /etc/ssh ${home:+"$home/.ssh"} >/dev/null 2>&1 || :
}

# --- the daemons that hold the old values ----------------------------------------------------------------
# After journald was restarted: the old one makes a deleted file anew under the old id.
forget_journal() {
  for directory in /var/log/journal/* /run/log/journal/*; do
    case ${directory##*/} in
      "$machine_id"*) ;;
      *) rm -rf "$directory" ;;
    esac
  done
}

restart_daemons() {
  set -- systemd-journald.service
  for unit in systemd-networkd.service NetworkManager.service rsyslog.service iscsid.service ssh.service sshd.service; do
    ! active "$unit" || set -- "$@" "$unit"
  done
  # A stopped daemon (it held a lease) has no group any more but is wanted at boot.
  for unit in systemd-networkd.service NetworkManager.service ssh.service sshd.service; do
    [ ! -e "/etc/systemd/system/multi-user.target.wants/$unit" ] || set -- "$@" "$unit"
  done
  systemctl restart "$@" || fail "restarting $* failed"
  # dhclient (ifupdown) keeps its identity in memory.
  if active networking.service; then systemctl restart --no-block networking.service; fi
}

# Waits for a network that the quarantine withheld: their failure says nothing about the clone.
forgive_network_waits() {
  systemctl reset-failed '*-wait-online.service' '*-wait-online@*.service' 2>/dev/null || :
}

# PID 1 remembers the id once it was asked for it; only a new image of itself forgets. Masks take effect with either.
refresh_system_manager() {
  answer=$(busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.DBus.Peer GetMachineId 2>/dev/null)
  if [ "$answer" != "s \"$machine_id\"" ]; then
    systemctl daemon-reexec
  elif [ -n "$masks" ]; then
    systemctl daemon-reload
  fi
  for unit in $masks; do
    ! active "$unit" || fail "$unit does not stop"
  done
}

trap unexpected_end EXIT
trap 'exit 1' TERM INT HUP
read_parameters
save_previous
scrub_disk
fresh_randomness
new_machine_id
new_hostname
new_storage_names
new_host_key
forget_network
forget_cloud_init
install_keys
label_files
restart_daemons
forget_journal
forgive_network_waits
refresh_system_manager
start_again
discard_freed
echo "this clone has its own identity"
record 'done' ''
