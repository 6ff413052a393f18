#!/usr/bin/env python3
"""Build the small MMDB files that the repository ships, from the table below.

The addresses are the ranges set aside for documentation (RFC 5737, RFC 3849), the
places and companies are invented, the AS numbers are those of RFC 5398. So the files
need no licence, and nobody can mistake them for a real location database.

    pip install mmdb_writer==0.2.7
    python3 tests/tools/build_mmdb.py          # writes the three files
    python3 tests/tools/build_mmdb.py --check  # fails if they differ from this table

The same table always gives the same bytes: the build time in the files is fixed.

Three layouts, because the databases in use come in three:
  pipelines/samples/documentation.mmdb  nested, as MaxMind and DB-IP write City, plus the
                                        two ASN fields; IPv6 tree with IPv4 at ::/96
  fixtures/ipinfo.mmdb                  flat, every value a text, "AS64500", country code
                                        in `country`; IPv6 tree with IPv4 at ::/96
  fixtures/ip-location-db.mmdb          flat, 32-bit floats, "" for what is not known;
                                        an IPv4 tree only, as those files come in pairs
"""

import argparse
import pathlib
import sys
import tempfile
import unittest.mock
from typing import NamedTuple

import mmdb_writer
import netaddr

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "crates/transforms/src/geoip/fixtures"
BUILD_TIME = 1_767_225_600  # 2026-01-01T00:00:00Z


class Place(NamedTuple):
    """One row of the table; what is None is not known for that network."""

    country: str | None = None
    country_name: str | None = None
    region: str | None = None
    region_name: str | None = None
    city: str | None = None
    lat: float | None = None
    lon: float | None = None
    asn: int | None = None
    org: str | None = None
    domain: str | None = None


OFFICE = Place("XA", "Aldermark", "HB", "Harbourshire", "Port Alder", 48.25, -4.5,
               64500, "Contoso Head Office", "contoso.example")
BRANCH = Place("XA", "Aldermark", "UP", "Upland", "Stonebridge", 47.75, -2.25,
               64501, "Aldermark Broadband", "broadband.example")
BOREAL = Place("XB", "Borealia", "NW", "Northwater", "Isvik", 64.125, 20.5,
               64502, "Borealia Telekom", "telekom.example")
TOWER = Place("XC", "Calidonia", "CE", "Central", "Torre Alta", -12.5, 28.75,
              64503, "Torre Cloud Hosting", "hosting.example")
RELAY = Place("XD", "Dunmere", None, None, None, 10.0, 100.0,
              64504, "Dunmere Anonymous Relay", "relay.example")
ACCENT = Place("XE", "Élandie", "ÎL", "Îles du Nord", "Saint-Même-sur-Mer", 50.5, 3.0625,
               64505, "Réseau d'Élandie", "reseau.example")
ONLY_COUNTRY = Place("XB", "Borealia")
ONLY_ASN = Place(asn=64506, org="Nowhere Transit", domain="transit.example")

# 198.51.100.192/26 and everything below 2001:db8:f000::/36 are left out on purpose: an
# address can be public and yet be in no database.
TABLE = {
    "192.0.2.0/26": OFFICE,
    "192.0.2.64/26": BRANCH,
    "192.0.2.128/25": ACCENT,
    "198.51.100.0/26": BOREAL,
    "198.51.100.64/27": ONLY_COUNTRY,
    "198.51.100.96/27": ONLY_ASN,
    "198.51.100.128/26": BRANCH,
    "203.0.113.0/25": TOWER,
    "203.0.113.128/25": RELAY,
    "2001:db8::/36": OFFICE,
    "2001:db8:1000::/36": BOREAL,
    "2001:db8:2000::/35": TOWER,
    "2001:db8:4000::/34": RELAY,
    "2001:db8:8000::/34": ACCENT,
}


def names(text):
    """MaxMind's localised names, with the one language that everything reads."""
    return {"en": text}


def nested(place):
    """MaxMind's City layout, with the two fields of its ASN layout beside it."""
    record = {}
    if place.country:
        record["country"] = {"iso_code": place.country, "names": names(place.country_name)}
    if place.region:
        record["subdivisions"] = [{"iso_code": place.region, "names": names(place.region_name)}]
    if place.city:
        record["city"] = {"names": names(place.city)}
    if place.lat is not None:
        record["location"] = {"latitude": place.lat, "longitude": place.lon}
    if place.asn:
        record["autonomous_system_number"] = place.asn
        record["autonomous_system_organization"] = place.org
    return record


def ipinfo(place):
    """IPinfo's layout: flat, texts only, absent where not known."""
    record = {
        "country": place.country,
        "country_name": place.country_name,
        "region": place.region_name,
        "city": place.city,
        "lat": None if place.lat is None else str(place.lat),
        "lng": None if place.lon is None else str(place.lon),
        "asn": f"AS{place.asn}" if place.asn else None,
        "as_name": place.org,
        "as_domain": place.domain,
    }
    return {key: value for key, value in record.items() if value is not None}


def ip_location_db(place):
    """ip-location-db's layout: flat, every name present, an empty text where not known."""
    record = {
        "country_code": place.country or "",
        "state1": place.region_name or "",
        "state2": "",
        "city": place.city or "",
        "postcode": "",
        "timezone": "",
    }
    if place.lat is not None:
        record["latitude"] = place.lat
        record["longitude"] = place.lon
    if place.asn:
        record["autonomous_system_number"] = place.asn
        record["autonomous_system_organization"] = place.org
    return record


FILES = [
    # path, ip version, database type, float type, layout
    (ROOT / "pipelines/samples/documentation.mmdb", 6, "Documentation-City-ASN", "f64", nested),
    (FIXTURES / "ipinfo.mmdb", 6, "ipinfo documentation.mmdb", "f64", ipinfo),
    (FIXTURES / "ip-location-db.mmdb", 4, "city ipv4", "f32", ip_location_db),
]


def build(path, ip_version, database_type, float_type, layout):
    """Write one database to `path`."""
    writer = mmdb_writer.MMDBWriter(
        ip_version=ip_version,
        database_type=database_type,
        languages=["en"],
        description={"en": "Invented places on documentation addresses"},
        ipv4_compatible=ip_version == 6,
        int_type="u32",
        float_type=float_type,
    )
    for network, place in TABLE.items():
        network = netaddr.IPNetwork(network)
        if network.version <= ip_version:
            writer.insert_network(netaddr.IPSet([network]), layout(place))
    with unittest.mock.patch("mmdb_writer.time.time", return_value=BUILD_TIME):
        writer.to_db_file(str(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    stale = []
    for path, *rest in FILES:
        if check:
            with tempfile.TemporaryDirectory() as folder:
                fresh = pathlib.Path(folder) / path.name
                build(fresh, *rest)
                if not path.exists() or fresh.read_bytes() != path.read_bytes():
                    stale.append(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            build(path, *rest)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")
    for path in stale:
        print(f"{path.relative_to(ROOT)} differs from the table: run this script", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
