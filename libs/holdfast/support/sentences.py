"""The sentences of a module's log, each in every language.

Words of the product (states, actions, resources, settings) are names and stay as they are, and so do texts that come
from elsewhere: reasons, problems, what scripts write.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Language(StrEnum):
    """A language of the log."""

    EN = "en"
    FR = "fr"
    JA = "ja"


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """The same in every language, with the same `{places}`."""

    en: str
    fr: str
    ja: str

    def say(self, language: Language, **values: object) -> str:
        """The sentence with its places filled."""
        return {Language.EN: self.en, Language.FR: self.fr, Language.JA: self.ja}[language].format(**values)


def decimal(value: float, language: Language, *, digits: int) -> str:
    """A number with a decimal point, or the comma of French."""
    text = f"{value:.{digits}f}"
    return text.replace(".", ",") if language is Language.FR else text


STATE = Sentence(
    en="Local state {role} {status}",
    fr="État local {role} {status}",
    ja="ローカル状態 {role} {status}",
)
STATE_BECAUSE = Sentence(
    en="Local state {role} {status} ({reason})",
    fr="État local {role} {status} ({reason})",
    ja="ローカル状態 {role} {status} ({reason})",
)
ACTION = Sentence(
    en="Action {action} called by {who}",
    fr="Action {action} demandée par {who}",
    ja="{who} がアクション {action} を要求しました",
)
ACTION_OF_NOBODY = Sentence(
    en="Action {action} called by unknown",
    fr="Action {action} demandée par un inconnu",
    ja="アクション {action} が要求されました (要求元は不明)",
)
ACTION_REFUSED = Sentence(
    en="Action {action} refused: {reason}",
    fr="Action {action} refusée : {reason}",
    ja="アクション {action} は拒否されました: {reason}",
)
SETTING = Sentence(
    en="Setting {setting} set to {value} by {who}",
    fr="Réglage {setting} mis à {value} par {who}",
    ja="{who} が設定 {setting} を {value} にしました",
)
CONFIGURED = Sentence(
    en="Configuration {signature} applied",
    fr="Configuration {signature} appliquée",
    ja="構成 {signature} を適用しました",
)
CONFIGURATION_REMOVED = Sentence(
    en="Configuration removed",
    fr="Configuration retirée",
    ja="構成を削除しました",
)
OPENED = Sentence(
    en="Module opened, incarnation {incarnation}",
    fr="Module ouvert, incarnation {incarnation}",
    ja="モジュールを開きました (インカーネーション {incarnation})",
)
SCRIPT_ENDED = Sentence(
    en="Script {script} ended with {code} after {seconds} s",
    fr="Script {script} terminé avec le code {code} après {seconds} s",
    ja="スクリプト {script} は {seconds} 秒後にコード {code} で終了しました",
)
SCRIPT_ENDED_LATE = Sentence(
    en="Script {script} ended with {code} after {seconds} s, over its time limit",
    fr="Script {script} terminé avec le code {code} après {seconds} s, au-delà de sa limite de temps",
    ja="スクリプト {script} は制限時間を超え、{seconds} 秒後にコード {code} で終了しました",
)
SCRIPT_LOG = Sentence(
    en="; log {log}",
    fr=" ; journal {log}",
    ja="。ログは {log}",
)
LOOP_COUNTED = Sentence(
    en="An action of {by} counts against maxloop",
    fr="Une action de {by} compte pour maxloop",
    ja="{by} のアクションは maxloop に数えられます",
)
LOOP_RESET = Sentence(
    en="Loop counter reset by {by}",
    fr="Compteur de boucles remis à zéro par {by}",
    ja="{by} がループカウンタをリセットしました",
)
LOOP_RESET_BY_NOBODY = Sentence(
    en="Loop counter reset by unknown",
    fr="Compteur de boucles remis à zéro par un inconnu",
    ja="ループカウンタがリセットされました (要求元は不明)",
)
REBOOT = Sentence(
    en="Node is rebooted by {command}: {reason}",
    fr="Redémarrage du nœud par {command} : {reason}",
    ja="{command} によりノードを再起動します: {reason}",
)
REBOOT_FAILED = Sentence(
    en="Node could not be rebooted by {command}: {problem}",
    fr="Le nœud n'a pas pu être redémarré par {command} : {problem}",
    ja="{command} によりノードを再起動できませんでした: {problem}",
)
RESOURCE = Sentence(
    en="Resource {resource} set to {value} by {by}",
    fr="Ressource {resource} mise à {value} par {by}",
    ja="{by} がリソース {resource} を {value} に設定しました",
)
ADDRESSES_PROBLEM = Sentence(
    en="Virtual addresses: {problem}",
    fr="Adresses virtuelles : {problem}",
    ja="仮想アドレス: {problem}",
)
ADDRESSES_IN_CONFLICT = Sentence(
    en="Virtual addresses: in conflict: {addresses}",
    fr="Adresses virtuelles en conflit : {addresses}",
    ja="仮想アドレスが競合しています: {addresses}",
)
ADDRESSES_HERE = Sentence(
    en="Virtual addresses on this node: {addresses}",
    fr="Adresses virtuelles sur ce nœud : {addresses}",
    ja="このノードの仮想アドレス: {addresses}",
)
ADDRESSES_NONE = Sentence(
    en="Virtual addresses on this node: none",
    fr="Aucune adresse virtuelle sur ce nœud",
    ja="このノードに仮想アドレスはありません",
)
PEER_STATE = Sentence(
    en="Remote state {role} {status}",
    fr="État distant {role} {status}",
    ja="リモート状態 {role} {status}",
)
PEER_HEARD = Sentence(
    en="Remote node is heard",
    fr="Le nœud distant est entendu",
    ja="リモートノードのハートビートを受信しました",
)
PEER_SILENT = Sentence(
    en="Remote node has been silent for {ms} ms",
    fr="Le nœud distant est silencieux depuis {ms} ms",
    ja="リモートノードのハートビートが {ms} ms 途絶えています",
)
PEER_LOST = Sentence(
    en="Remote node is lost: {reason} after {ms} ms",
    fr="Le nœud distant est perdu : {reason} après {ms} ms",
    ja="{ms} ms 後にリモートノードを失いました: {reason}",
)
PEER_LOST_WITH_EVIDENCE = Sentence(
    en="Remote node is lost: {reason} after {ms} ms ({evidence})",
    fr="Le nœud distant est perdu : {reason} après {ms} ms ({evidence})",
    ja="{ms} ms 後にリモートノードを失いました: {reason} ({evidence})",
)
REPLICATION_FAILED = Sentence(
    en="Replication cannot go on: {reason}",
    fr="La réplication ne peut pas continuer : {reason}",
    ja="レプリケーションを続行できません: {reason}",
)
RESYNC = Sentence(
    en="Resync ({kind}): {files_done}/{files_total} files, {bytes_done}/{bytes_total} bytes",
    fr="Resynchronisation ({kind}) : fichiers {files_done}/{files_total}, octets {bytes_done}/{bytes_total}",
    ja="再同期 ({kind}): ファイル {files_done}/{files_total}、バイト {bytes_done}/{bytes_total}",
)
REPLICATION_CONNECTED = Sentence(
    en="Replication is {mode}, connected, sequence {sequence}",
    fr="La réplication est en mode {mode}, connectée, séquence {sequence}",
    ja="レプリケーションは {mode}、接続済み、シーケンス {sequence}",
)
REPLICATION_NOT_CONNECTED = Sentence(
    en="Replication is {mode}, not connected, sequence {sequence}",
    fr="La réplication est en mode {mode}, non connectée, séquence {sequence}",
    ja="レプリケーションは {mode}、未接続、シーケンス {sequence}",
)
NOT_COMPARED = Sentence(
    en="Replicas could not be compared: {error}",
    fr="Les copies n'ont pas pu être comparées : {error}",
    ja="レプリカを比較できませんでした: {error}",
)
EQUAL = Sentence(
    en="Replicas are equal ({files} files, {bytes} bytes)",
    fr="Les copies sont identiques (fichiers : {files}, octets : {bytes})",
    ja="レプリカは一致しています (ファイル {files}、バイト {bytes})",
)
DIFFERENT = Sentence(
    en="Replicas are different in {places} places ({files} files, {bytes} bytes)",
    fr="Les copies diffèrent (différences : {places}, fichiers : {files}, octets : {bytes})",
    ja="レプリカに {places} か所の相違があります (ファイル {files}、バイト {bytes})",
)
