#!/usr/bin/env bash
# A Ceph monitor, OSD (in memory) and RADOS Gateway on loopback.
# usage: ceph_gateway.sh start DIR PORT | ceph_gateway.sh stop DIR
set -euo pipefail
action=$1 dir=$2

if [ "$action" = stop ]; then
  for file in "$dir"/run/*.pid; do kill "$(cat "$file")" 2>/dev/null || true; done
  exit 0
fi

port=$3 monitor_port=$(($3 + 1))
mkdir -p "$dir"/{mon,osd,run,rgw}
fsid=$(cat /proc/sys/kernel/random/uuid) osd_id=$(cat /proc/sys/kernel/random/uuid)
export CEPH_CONF="$dir/ceph.conf"
cat > "$CEPH_CONF" <<CONF
[global]
fsid = $fsid
mon host = v2:127.0.0.1:$monitor_port
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
ms bind ipv6 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
osd memory target = 1073741824
memstore device bytes = 1073741824
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 1
mon max pg per osd = 1000
mon osd min in ratio = 0
paxos propose interval = 0.05
mon data = $dir/mon
osd data = $dir/osd
keyring = $dir/keyring
admin socket = $dir/run/\$name.asok
pid file = $dir/run/\$name.pid
log file = $dir/run/\$name.log
run dir = $dir/run
[client.admin]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw data = $dir/rgw
rgw enable apis = s3
rgw thread pool size = 16
CONF
ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *'
ceph-authtool "$dir/keyring" --gen-key -n osd.0 --cap mon 'allow *' --cap osd 'allow *'
ceph-authtool "$dir/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$monitor_port]" "$dir/monmap"
ceph-mon --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring" -c "$CEPH_CONF"
ceph-mon -i a -c "$CEPH_CONF"
ceph -c "$CEPH_CONF" osd new "$osd_id"
ceph-osd -i 0 -c "$CEPH_CONF" --mkfs --osd-uuid "$osd_id"
ceph-osd -i 0 -c "$CEPH_CONF"
# before the gateway: the first of the two makes the zone and its pools
radosgw-admin -c "$CEPH_CONF" user create --uid=test --display-name=test --access-key=AKtest --secret=SKtest
radosgw -c "$CEPH_CONF" -n client.admin --keyring "$dir/keyring"
for _ in $(seq 100); do
  (exec 3<> "/dev/tcp/127.0.0.1/$port") 2>/dev/null && exit 0
  sleep 0.2
done
echo "the gateway does not answer on port $port" >&2
exit 1
